"""`python -m phaseno_peft`, where the command is not on the path."""

from phaseno_peft.cli.app import main

if __name__ == "__main__":
    main()
