"""Entry point of the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from ctrl.cli.parser import build_parser
from reward_models.errors import TrainingError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after ``ctrl``; None takes the process's own.

    Returns:
        0 when it worked, 2 for a user's mistake, 1 for a reward that broke its contract or a check
        that failed, 130 after Ctrl-C.
    """
    options = build_parser().parse_args(arguments)
    # `--env module:Id` finds a module in the working folder; installed packages come first.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        code, document = options.run(options)
    except (UserError, TrainingError) as error:
        print(f"ctrl {options.command}: error: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"error": str(error)}))
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    if options.json:
        print(json.dumps(document))
    return code
