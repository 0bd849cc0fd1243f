"""math-verify's side of `math_answers.py`: runs where that is installed, and knows nothing of ours.

Rows {"gold", "completion"} on standard input; per row {"seconds", "passed"} on standard output.
Gold answers are parsed once each, before the clock starts, as ours are kept.
"""

import json
import sys
import time

from math_verify import parse, verify


def main() -> None:
    rows = [json.loads(line) for line in sys.stdin]
    golds = {row["gold"]: parse(f"\\boxed{{{row['gold']}}}") for row in rows}
    for row in rows:
        start = time.perf_counter()
        passed = verify(golds[row["gold"]], parse(row["completion"]))
        print(json.dumps({"seconds": time.perf_counter() - start, "passed": bool(passed)}))


if __name__ == "__main__":
    main()
