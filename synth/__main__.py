"""`python -m synth` is the `synth` command."""

from synth import stopping


def main() -> None:
    """The `synth` command."""
    stopping.heed()  # before what the command imports
    from synth import cli

    cli.main()


if __name__ == "__main__":
    main()
