"""Run in scorio's environment: counts by world and task on stdin (npy), intervals on stdout (npy).

python scorio_driver.py @|^ K NUM_SAMPLES
"""

import io
import sys

import numpy as np
from scorio import eval as scorio_eval


def main() -> None:
    which, k, num_samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    counts_WT = np.load(io.BytesIO(sys.stdin.buffer.read()))
    interval = scorio_eval.pass_at_k_ci if which == "@" else scorio_eval.pass_hat_k_ci
    order_N = np.arange(num_samples)
    ends = [interval((order_N < c_T[:, None]).astype(int), k)[2:] for c_T in counts_WT]
    buffer = io.BytesIO()
    np.save(buffer, np.array(ends, dtype=np.float64))
    sys.stdout.buffer.write(buffer.getvalue())


if __name__ == "__main__":
    main()
