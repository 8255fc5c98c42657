/** The steps of an episode to be read: for now as the table has them. */

export { StepTable as Transcript } from "./StepTable";
