"""`python -m cfack`, the same as the `cfack` command."""

from cfack.cli import main

if __name__ == "__main__":
    main()
