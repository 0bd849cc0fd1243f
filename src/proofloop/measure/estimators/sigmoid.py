"""The likelihood region of a sigmoid in log compute, read off a grid.

`R = R0 + (A - R0) s`, `s = 1 / (1 + exp(-B (log C - m)))`: for given m and B it is linear in R0 and
A, so each grid point over (m, log B) holds a closed-form fit and an ellipse of (R0, A) around it.
The extremes of any linear figure (A, R0, the curve somewhere) over all ellipses are its profile
likelihood interval (variable projection, Golub & Pereyra 1973).

Axes: G grid points, N evaluations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from proofloop.measure.estimators.interval import LEVEL

Floats = NDArray[np.float64]

_SIDE = 48
_ROUNDS = 4
_BENDS = (0.15, 12.0)
"""B outside of these is a straight line, or a jump, to any data."""
_BEYOND = 5.0
"""How far outside the evaluations m is looked for, in log compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A value with its interval; an end that the grid, the floor or the ceiling cut off is None."""

    value: float
    low: float | None
    high: float | None


def curve(log_compute: Floats | float, log_mid: Floats | float, bend: Floats | float) -> Floats:
    """s: the share of the way from R0 to A."""
    z = np.asarray(bend) * (np.asarray(log_compute) - np.asarray(log_mid))
    return np.exp(-np.logaddexp(0.0, -z))


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The last grid, with the fit at each of its points."""

    log_compute_N: Floats
    score_N: Floats
    floor: float
    ceiling: float
    num_free: int
    log_mid_G: Floats
    log_bend_G: Floats
    start_G: Floats
    """R0 of the unconstrained fit at each point."""
    asymptote_G: Floats
    """A, which may lie beyond the bounds; `rss_G` is of the fit that does not."""
    rss_G: Floats
    free_rss_G: Floats
    var_start_G: Floats
    """The inverse of the 2x2 matrix of squares: var(R0), cov, var(A), each over noise²."""
    cov_G: Floats
    var_asymptote_G: Floats
    touches: tuple[bool, bool, bool, bool]
    """Whether the region reaches the first grid's edge: low m, high m, low B, high B."""

    @property
    def least(self) -> float:
        return max(float(self.rss_G.min()), 1e-12 * float(np.ptp(self.score_N)) ** 2 + 1e-300)

    @property
    def limit(self) -> float:
        return _limit(self.least, self.num_free)

    @property
    def is_flat(self) -> bool:
        """Whether a level line fits as well, by an F test with two parameters more for the curve:
        of flat runs of 10 to 30 evaluations with independent noise 1 to 6% pass for curves, by one
        parameter 15% would."""
        rss = float(((self.score_N - self.score_N.mean()) ** 2).sum())
        return rss <= _limit(self.least, self.num_free, 2)

    @property
    def noise(self) -> float:
        return float(np.sqrt(self.least / self.num_free))

    @property
    def slack(self) -> Floats:
        return np.maximum(self.limit - self.free_rss_G, 0.0)

    @property
    def inside(self) -> NDArray[np.bool_]:
        return self.rss_G <= self.limit

    def asymptotes(self) -> Range:
        best = int(self.rss_G.argmin())
        reach_G = np.sqrt(self.slack * self.var_asymptote_G)
        low = float((self.asymptote_G - reach_G)[self.inside].min())
        high = float((self.asymptote_G + reach_G)[self.inside].max())
        is_open = high >= self.ceiling - 1e-9 or self.touches[1]
        value = min(max(float(self.asymptote_G[best]), self.floor), self.ceiling)
        return Range(
            value=value, low=None if low <= self.floor else low, high=None if is_open else high
        )

    def starts(self) -> Range:
        best = int(self.rss_G.argmin())
        low, high = self.curve_range(-np.inf)
        value = float(self._held_start()[best])
        return Range(value=value, low=None if self.touches[0] else low,
                     high=None if self.touches[0] else high)  # fmt: skip

    def midpoints(self) -> Range:
        return self._grid_range(self.log_mid_G, self.touches[0], self.touches[1])

    def bends(self) -> Range:
        return self._grid_range(self.log_bend_G, self.touches[2], self.touches[3])

    def _grid_range(self, value_G: Floats, low_open: bool, high_open: bool) -> Range:
        held = value_G[self.inside]
        return Range(
            value=float(value_G[int(self.rss_G.argmin())]),
            low=None if low_open else float(held.min()),
            high=None if high_open else float(held.max()),
        )

    def _held_start(self) -> Floats:
        """R0 of the best fit whose A lies within the bounds."""
        beyond_G = self.asymptote_G - np.clip(self.asymptote_G, self.floor, self.ceiling)
        return self.start_G - beyond_G * self.cov_G / self.var_asymptote_G

    def best_curve(self, log_compute_M: Floats) -> Floats:
        best = int(self.rss_G.argmin())
        s_M = curve(log_compute_M, self.log_mid_G[best], np.exp(self.log_bend_G[best]))
        asymptote = float(np.clip(self.asymptote_G[best], self.floor, self.ceiling))
        return self._held_start()[best] * (1 - s_M) + asymptote * s_M

    def curve_range(self, log_compute: float) -> tuple[float, float]:
        """Lowest and highest value, at one compute, of all curves in the region."""
        s_G = curve(log_compute, self.log_mid_G, np.exp(self.log_bend_G))
        centre_G = self.start_G * (1 - s_G) + self.asymptote_G * s_G
        along_G = (1 - s_G) * self.cov_G + s_G * self.var_asymptote_G
        var_G = (1 - s_G) ** 2 * self.var_start_G + s_G * (2 * (1 - s_G) * self.cov_G)
        var_G = np.maximum(var_G + s_G**2 * self.var_asymptote_G, 1e-300)
        root_G = np.sqrt(self.slack)
        left_G = np.maximum(self.var_start_G - self.cov_G**2 / self.var_asymptote_G, 0.0)
        ends: list[float] = []
        for sign in (-1, 1):
            end_G = centre_G + sign * np.sqrt(self.slack * var_G)
            # The curve that is extreme there may need an A beyond a bound: then the extreme lies
            # on the chord A = bound of the ellipse.
            needed_G = self.asymptote_G + sign * along_G * root_G / np.sqrt(var_G)
            for bound, is_beyond_G in (
                (self.ceiling, needed_G > self.ceiling),
                (self.floor, needed_G < self.floor),
            ):
                if is_beyond_G.any():
                    on_chord_G = self._on_chord(bound, sign * np.sqrt(left_G))
                    held_G = on_chord_G * (1 - s_G) + bound * s_G
                    end_G = np.where(is_beyond_G, held_G, end_G)
            end_G = end_G[self.inside]
            ends.append(float(end_G.min() if sign < 0 else end_G.max()))
        return ends[0], ends[1]

    def _on_chord(self, bound: float, across_G: Floats) -> Floats:
        """R0 at the end of the chord A = `bound`."""
        away_G = bound - self.asymptote_G
        chord_G = np.maximum(self.slack - away_G**2 / self.var_asymptote_G, 0.0)
        middle_G = self.start_G + away_G * self.cov_G / self.var_asymptote_G
        return middle_G + across_G * np.sqrt(chord_G)

    def profile(self, num: int = 81) -> list[tuple[float, float]]:
        """(A, log-likelihood relative to the best) over the interval and half as much again."""
        found = self.asymptotes()
        low = self.floor if found.low is None else found.low
        high = self.ceiling if found.high is None else found.high
        margin = 0.25 * (high - low)
        values = np.linspace(max(low - margin, self.floor), min(high + margin, self.ceiling), num)
        rss = [
            float((self.free_rss_G + (a - self.asymptote_G) ** 2 / self.var_asymptote_G).min())
            for a in values
        ]
        half = 0.5 * len(self.score_N)
        least = self.least
        return [
            (float(a), min(0.0, -half * float(np.log(max(r, least) / least))))
            for a, r in zip(values, rss, strict=True)
        ]


def region_of(
    log_compute_N: Floats,
    score_N: Floats,
    *,
    start: float | None,
    floor: float,
    ceiling: float,
) -> Region:
    """The likelihood region, its grid narrowed a few times to what the data allow."""
    edges = np.array(
        [[log_compute_N.min() - _BEYOND, log_compute_N.max() + _BEYOND], np.log(_BENDS)]
    )
    num_free = len(score_N) - (4 if start is None else 3)
    touches = (False, False, False, False)
    axes_22, box_22 = np.eye(2), edges
    region = None
    for number in range(_ROUNDS):
        sides = [np.linspace(low, high, _SIDE) for low, high in box_22]
        point_G2 = np.stack([g.ravel() for g in np.meshgrid(*sides, indexing="ij")], axis=1)
        point_G2 = np.clip(point_G2 @ axes_22.T, edges[:, 0], edges[:, 1])
        region = _fits(
            log_compute_N,
            score_N,
            point_G2[:, 0],
            point_G2[:, 1],
            start,
            floor,
            ceiling,
            num_free,
            touches,
        )
        held_G2 = point_G2[region.inside]
        if number == 0:
            low, high = held_G2.min(axis=0) <= edges[:, 0], held_G2.max(axis=0) >= edges[:, 1]
            touches = (bool(low[0]), bool(high[0]), bool(low[1]), bool(high[1]))
        steps = (box_22[:, 1] - box_22[:, 0]) / (_SIDE - 1)
        # A coarse grid may miss a tail of the region by a few of its steps.
        margin_2 = np.abs(axes_22) @ steps * max(1, 3 - number)
        # m and B trade against each other, so the region is a thin slanted strip: the next grid
        # lies along it.
        axes_22 = np.eye(2) if len(held_G2) < 9 else np.linalg.eigh(np.cov(held_G2.T))[1]
        along_G2 = held_G2 @ axes_22
        reach_2 = np.abs(axes_22.T) @ margin_2
        box_22 = np.stack([along_G2.min(axis=0) - reach_2, along_G2.max(axis=0) + reach_2], axis=1)
    assert region is not None
    return region


def _limit(least: float, num_free: int, num_more: int = 1) -> float:
    more = num_more * float(stats.f.ppf(LEVEL, num_more, num_free))
    return least * (1 + more / num_free)


def _fits(
    log_compute_N: Floats,
    score_N: Floats,
    log_mid_G: Floats,
    log_bend_G: Floats,
    start: float | None,
    floor: float,
    ceiling: float,
    num_free: int,
    touches: tuple[bool, bool, bool, bool],
) -> Region:
    s_GN = curve(log_compute_N, log_mid_G[:, None], np.exp(log_bend_G)[:, None])
    ss, sr, rr = (s_GN**2).sum(1), (s_GN * (1 - s_GN)).sum(1), ((1 - s_GN) ** 2).sum(1)
    if start is None:
        # A curve that is flat over all evaluations would tell R0 from A by rounding alone.
        ss, rr = ss + 1e-10, rr + 1e-10
        det = ss * rr - sr**2
        var_start_G, cov_G, var_asymptote_G = ss / det, -sr / det, rr / det
        with_s, with_r = s_GN @ score_N, (1 - s_GN) @ score_N
        start_G = var_start_G * with_r + cov_G * with_s
        asymptote_G = cov_G * with_r + var_asymptote_G * with_s
    else:
        start_G = np.full_like(log_mid_G, start)
        var_asymptote_G = 1 / np.maximum(ss, 1e-300)
        var_start_G, cov_G = np.zeros_like(start_G), np.zeros_like(start_G)
        left_GN = score_N - start * (1 - s_GN)
        asymptote_G = (left_GN * s_GN).sum(1) * var_asymptote_G
    fitted_GN = start_G[:, None] * (1 - s_GN) + asymptote_G[:, None] * s_GN
    free_rss_G = ((score_N - fitted_GN) ** 2).sum(1)
    beyond_G = asymptote_G - np.clip(asymptote_G, floor, ceiling)
    return Region(
        log_compute_N=log_compute_N,
        score_N=score_N,
        floor=floor,
        ceiling=ceiling,
        num_free=num_free,
        log_mid_G=log_mid_G,
        log_bend_G=log_bend_G,
        start_G=start_G,
        asymptote_G=asymptote_G,
        rss_G=free_rss_G + beyond_G**2 / var_asymptote_G,
        free_rss_G=free_rss_G,
        var_start_G=var_start_G,
        cov_G=cov_G,
        var_asymptote_G=var_asymptote_G,
        touches=touches,
    )
