/** The way in: a token, sent once, for which the server sets a cookie that scripts cannot read. */

import { type FormEvent, useState } from "react";

import { useSession, useSigning } from "./session";

/** See above. */
export function SignIn() {
  const { signIn } = useSigning();
  const { refusal } = useSession();
  const [error, setError] = useState<string | null>(null);
  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget;
    const token = String(new FormData(form).get("token") ?? "").trim();
    form.reset();
    try {
      await signIn(token);
    } catch (problem) {
      setError(problem instanceof Error ? problem.message : String(problem));
    }
  };
  return (
    <main className="note">
      <h1>Sign in</h1>
      {refusal && <p>{refusal}</p>}
      <p>
        This server lets in whom it knows. <code>stepstream token create --scope read</code> prints a token on the
        machine where it runs.
      </p>
      <form onSubmit={submit} className="sign-in">
        <label htmlFor="token">Token</label>
        <input id="token" name="token" type="password" autoComplete="off" spellCheck={false} required size={48} />
        <button className="main">Sign in</button>
      </form>
      {error && <p className="bad" role="alert">{error}</p>}
    </main>
  );
}
