from stepstream.cli.main import main

main()
