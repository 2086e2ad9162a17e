"""From motion programs to trajectories: one plan per clip, then all clips at once.

A clip shows one *main* motion; others may come before it (hands) or beside it (head, trunk, legs), because
people do several things at once. `Script` keeps what is shown, for the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from microgesture.simulation.body import DOF, DOFS, Array, Body, HandPlan, curls, pose_points, unit
from microgesture.simulation.programs import Element, Hand, Motion, Rest, Way, motion_index, motions, rests

SLOTS = 3  # per hand: what was before, the main motion, what comes after
_LAYERS: tuple[str, ...] = (
    *("nodding", "turning_head", "tilting_head", "shaking_head", "bowing_head", "head_up", "pressing_lips"),
    *("shift_torso", "move_torso", "turn_around", "turn_around", "shoulders", "shake_legs", "stretch_feet", "tiptoe"),
)
_BEFORE = ("illustrative", "play_objects", "rub_hands", "touch_face", "touch_jaw", "touch_legs", "spread_hands")
_AFTER = ("touch_face", "touch_jaw", "hold_hands", "illustrative", "cover_mouth", "touch_neck", "fold_arms")
_BESIDE = ("illustrative", "illustrative", "spread_hands", "waving", "fiddle_fingers", "touch_legs", "touch_face")

_SHIFTS = (
    ("head_yaw", 0.28, ("turning_head", "shaking_head")),
    ("head_pitch", 0.33, ("nodding", "bowing_head", "head_up")),
    ("head_roll", 0.10, ("tilting_head",)),
    ("torso_pitch", 0.10, ("shift_torso", "move_torso", "sit_straight")),
    ("torso_roll", 0.05, ("shift_torso", "move_torso")),
    ("torso_yaw", 0.12, ("shift_torso", "move_torso", "turn_around")),
    ("torso_x", 0.07, ("shift_torso", "move_torso")),
)


@dataclass
class Moving:
    """When a motion is shown, in seconds of the clip."""

    motion: int
    start: float
    end: float
    main: bool


@dataclass
class Script:
    """What is shown in one clip."""

    seconds: float
    setting: str
    moving: list[Moving] = field(default_factory=list)
    unsure: set[int] = field(default_factory=set)


@dataclass
class _Slot:
    contact: int = 0
    reach: float = 0.5
    point: tuple[float, ...] = (0, 0, 1)
    palm: tuple[float, ...] = (0, 1, 0)
    shape: int = 1
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    size: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    hz: float = 0.7
    phase: float = 0.0
    style: int = 0  # 0 still/rub (sine), 1 tap, 2 roam
    fidget: tuple[float, float] = (0.0, 1.0)
    pole: NDArray[np.float64] = field(default_factory=lambda: np.array([-0.35, 1.0, 0.0]))


_STYLE = {"still": 0, "rub": 0, "tap": 1, "roam": 2}


class Planner:
    """Draws plans clip by clip, then turns all of them into joints at once (`points`)."""

    def __init__(self, rng: np.random.Generator, frames: int, fps: float) -> None:
        self.rng, self.frames, self.fps = rng, frames, fps
        self.barred: frozenset[int] = frozenset()  # motions that must not come before or beside the main one
        self.scripts: list[Script] = []
        self._slots: list[list[list[_Slot]]] = []  # clip, side, slot
        self._times: list[list[tuple[float, float, float, float]]] = []  # clip, side: on, reach, off, back
        self._elements: list[tuple[int, int, int, float, float, float, float, float, float]] = []

    # ---- one clip --------------------------------------------------------------------------------------------------

    def add(
        self,
        motion: Motion | None,
        setting: str,
        *,
        rest: tuple[Rest, Rest] | None = None,
        when: tuple[float, float] | None = None,
        busy: float = 1.0,
        leaves: bool = False,
    ) -> Script:
        """Plan one clip.

        Args:
            motion: the main motion; None for a clip in which only talk and posture happen.
            setting: "desk", "chair" or "stand".
            rest: rest postures before and after; drawn if None.
            when: onset and end of the main motion in seconds; drawn as pre-cut clips are if None.
            busy: scale of the probability of other motions before and beside.
            leaves: hands always return to rest at the end.
        """
        rng = self.rng
        clip = len(self.scripts)
        seconds = self.frames / self.fps
        script = Script(seconds, setting)
        before, after = rest or (self.rest(setting), self.rest(setting) if rng.random() < 0.35 else None)
        after = after or before
        sides = self._rest_slots(before), self._rest_slots(after)
        slots = [[sides[0][s], _Slot(), sides[1][s]] for s in (0, 1)]
        never = (1e3, 0.5, 2e3, 0.5)
        times = [never, never]
        clasped = before.together
        for posture in (before, after):
            script.unsure |= {motion_index()[name] for name in posture.unsure}

        if motion is not None:
            way = self._way(motion)
            onset, end = when or self._when(motion, seconds)
            on, back = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8)
            if way.hands != "none" and way.hand is not None:
                active = self._main_slots(way, slots)
                stays = rng.random() < motion.stays and not leaves
                for side in active:
                    times[side] = (onset, on, 1e3 if stays else max(end - back, onset + on * 0.8), back)
                    if way.start:
                        start = int(rng.choice(way.start))
                        slots[side][0] = _Slot(start, 0.5, (0.3, 0, 1), (0, 1, 0), 1, rng.normal(0, 0.06, 3))
                if clasped and len(active) == 1:  # hands that lay together part
                    idle = 1 - active[0]
                    slots[idle][0] = slots[idle][2]
                if rng.random() < 0.22 * busy and not way.start and onset > 0.4:
                    self._other(script, slots, 0, active, _BEFORE, -1.0, onset)
                if rng.random() < 0.15 * busy and not stays and end < seconds - 0.3:
                    self._other(script, slots, 2, active, _AFTER, end, seconds + 1)
            elif rng.random() < 0.45 * busy:  # people turn, nod and shrug while their hands do something else
                begin = rng.uniform(-1.0, 0.6 * seconds)
                finish = begin + rng.uniform(1.0, 4.0)
                for side in self._other(script, slots, 1, [0, 1], _BESIDE, begin, finish):
                    times[side] = (begin, on, finish - back, back)
            side = self._body(clip, way.body, onset, end, int(rng.integers(2)))
            self._body(clip, way.before, -10.0, 1e3, side)
            script.moving.append(Moving(motion_index()[motion.name], onset, min(end, seconds), True))
            used = {self._part(e.dof) for e in way.body}
            if rng.random() < 0.5 * busy:
                self._layer(clip, script, used)
        else:
            for _ in range(int(rng.integers(0, 3))):
                self._layer(clip, script, set())
            if rng.random() < 0.35:
                self._other(script, slots, 0, [0, 1], _BEFORE, -1.0, seconds)
        script.unsure |= self._posture(clip, setting, busy)
        self.scripts.append(script)
        self._slots.append(slots)
        self._times.append(times)
        return script

    def rest(self, setting: str) -> Rest:
        """A rest posture that fits the setting."""
        places = ("any", setting) if setting != "stand" else ("any", "chair")
        fitting = [r for r in rests() if r.where in places]
        return fitting[self._weighted([r.weight for r in fitting])]

    def _way(self, motion: Motion) -> Way:
        return motion.ways[self._weighted([w.weight for w in motion.ways])]

    def _weighted(self, weights: list[float]) -> int:
        return int(self.rng.choice(len(weights), p=np.array(weights) / sum(weights)))

    def _when(self, motion: Motion, seconds: float) -> tuple[float, float]:
        """Clips are cut around the motion; some start late, some end early, some are windows of a longer one."""
        rng = self.rng
        if rng.random() < motion.holds:  # the hand is there already
            onset = -rng.uniform(0.7, 3.0)
            return onset, seconds + (rng.uniform(0.5, 2) if rng.random() < 0.6 else -rng.uniform(0, 0.4) * seconds)
        length = log_uniform(rng, motion.seconds) + rng.uniform(0.3, 0.9)
        if rng.random() < 0.55:  # cut tightly
            length = min(max(length, 0.65 * seconds), seconds + 0.3)
        onset = rng.uniform(-0.25, 0.2) if rng.random() < 0.5 else rng.uniform(-0.3, max(0.1, seconds - 0.85 * length))
        return onset, onset + length

    def _main_slots(self, way: Way, slots: list[list[_Slot]]) -> list[int]:
        rng = self.rng
        hand = way.hand
        assert hand is not None
        first = int(rng.integers(2))
        active = [first] if way.hands == "one" and way.other is None else [first, 1 - first]
        main = self._draw(hand)
        if way.hands == "one" and way.other is None:
            slots[first][1] = main
        elif way.other is not None:
            slots[first][1], slots[1 - first][1] = main, self._draw(way.other)
        else:
            twin = _copy(main)
            twin.offset = main.offset + rng.normal(0, 0.02, 3)
            twin.phase = main.phase + (np.pi if way.opposite else rng.normal(0, 0.3))
            if way.hands == "together":
                shift = main.offset.copy()  # one meeting point for both hands: x must not be mirrored
                for slot, sign in ((main, 1.0), (twin, -1.0)):
                    side = first if slot is main else 1 - first
                    place = np.array([(shift[0] if side == 0 else -shift[0]) - way.apart, shift[1], shift[2]])
                    slot.offset = place + rng.normal(0, 0.012, 3) + np.array([0, 0.02 * sign, 0.02 * sign])
                if way.spread_wrists:
                    for slot in (main, twin):
                        slot.point = tuple(np.asarray(slot.point) + np.array([way.spread_wrists * 1.5, 0, 0]))
            slots[first][1], slots[1 - first][1] = main, twin
        if way.elbow is not None:
            for side in active:
                slots[side][1].pole = np.asarray(way.elbow) + rng.normal(0, 0.15, 3)
        return active

    def _draw(self, hand: Hand) -> _Slot:
        rng = self.rng
        size = np.array([rng.uniform(*r) for r in hand.move.size])
        size *= rng.choice([-1, 1], 3) if hand.move.style != "tap" else np.array([rng.choice([-1, 1]), -1, 1])
        shape = int(rng.choice(hand.shape))
        touch = float(rng.choice(hand.touch))
        if touch > 0.8:  # curled fingers end nearer to the wrist
            touch -= 0.45 * float(curls(np.array(shape))[1:3].mean())
        fidget = (rng.uniform(*hand.fidget[0]), rng.uniform(*hand.fidget[1])) if hand.fidget else (0.0, 1.0)
        return _Slot(
            contact=int(rng.choice(hand.at)),
            reach=touch + rng.normal(0, 0.05),
            point=self._direction(hand.fingers, 0.22),
            palm=self._direction(hand.palm, 0.22),
            shape=shape,
            offset=rng.normal(0, 0.03, 3),
            size=size,
            hz=log_uniform(rng, hand.move.hz),
            phase=rng.uniform(0, 2 * np.pi),
            style=_STYLE[hand.move.style],
            fidget=fidget,
            pole=np.array([-0.3, 1.0, 0.05]) + rng.normal(0, [0.25, 0.15, 0.2]),
        )

    def _direction(self, choices: tuple[tuple[float, float, float], ...], spread: float) -> tuple[float, ...]:
        mix = self.rng.dirichlet(np.full(len(choices), 1.2)) @ np.array(choices, float)
        return tuple(mix + self.rng.normal(0, spread, 3))

    def _rest_slots(self, rest: Rest) -> list[_Slot]:
        rng = self.rng
        one = self._draw(rest.hand)
        two = self._draw(rest.other) if rest.other is not None else _copy(one)
        if rest.together:
            shift = rng.normal(0, 0.08, 3)
            one.offset = np.array([shift[0] - 0.03, shift[1], shift[2]])
            two.offset = np.array([-shift[0] - 0.03, shift[1] + 0.03, shift[2]])
        else:
            spread = np.array([0.10, 0.06, 0.10])
            one.offset, two.offset = rng.normal(0, spread), rng.normal(0, spread)
            for slot in (one, two):  # arms that rest let their elbows hang back
                slot.pole = np.array([-0.35, 0.6, -0.8]) + rng.normal(0, [0.2, 0.2, 0.3])
        return [one, two] if rng.random() < 0.5 else [two, one] if rest.other is not None else [one, two]

    def _other(
        self,
        script: Script,
        slots: list[list[_Slot]],
        place: int,
        sides: list[int],
        choices: tuple[str, ...],
        start: float,
        end: float,
    ) -> list[int]:
        """Another motion of the hands than the main one, in one phase of them; returns the hands that take part."""
        motion = self._companion(choices)
        way = self._way(motion) if motion is not None else None
        if motion is None or way is None or way.hand is None:
            return []
        scratch = [[_Slot(), _Slot(), _Slot()], [_Slot(), _Slot(), _Slot()]]
        active = [side for side in self._main_slots(way, scratch) if side in sides]
        for side in active:
            slots[side][place] = scratch[side][1]
        if active:
            script.moving.append(Moving(motion_index()[motion.name], start, end, False))
        return active

    def _companion(self, names: tuple[str, ...]) -> Motion | None:
        """One of the named motions that is not barred."""
        allowed = [i for i in (motion_index()[name] for name in names) if i not in self.barred]
        return motions()[int(self.rng.choice(allowed))] if allowed else None

    @staticmethod
    def _part(dof: str) -> str:
        return dof.split("_")[0]

    def _layer(self, clip: int, script: Script, used: set[str]) -> None:
        """A second motion beside the main one, of parts it does not use."""
        motion = self._companion(_LAYERS)
        if motion is None:
            return
        way = self._way(motion)
        if way.hands != "none" or any(self._part(e.dof) in used for e in (*way.body, *way.before)):
            return
        if motion.group == "Leg" and script.setting == "desk":
            return
        length = log_uniform(self.rng, motion.seconds)
        onset = self.rng.uniform(-0.3 * length, max(0.1, script.seconds - 0.6 * length))
        side = self._body(clip, way.body, onset, onset + length, int(self.rng.integers(2)))
        self._body(clip, way.before, -10.0, 1e3, side)
        used |= {self._part(e.dof) for e in way.body}
        script.moving.append(Moving(motion_index()[motion.name], onset, onset + length, False))

    def _body(self, clip: int, elements: tuple[Element, ...], onset: float, end: float, side: int) -> int:
        rng = self.rng
        direction = rng.choice([-1.0, 1.0])
        for e in elements:
            size = rng.uniform(*e.size)
            if e.sign == "either":
                direction = rng.choice([-1.0, 1.0])
                size *= direction
            elif e.sign == "same":
                size *= direction
            hz = log_uniform(rng, e.hz)
            stem = e.dof.removesuffix("_both").removesuffix("_one")
            if e.dof.endswith("_both"):
                names = [f"{stem}_r", f"{stem}_l"]
            elif e.dof.endswith("_one"):
                names = [f"{stem}_{'rl'[side]}"]
            else:
                names = [e.dof]
            rise, fall = rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.6)
            shift = rng.uniform(-0.1, 0.15) if e.how in ("swing", "bob") else rng.uniform(-0.05, 0.1)
            how = ("hold", "step", "swing", "bob", "pulse").index(e.how)
            for name in names:
                vary = rng.uniform(0.85, 1.15) if len(names) == 2 else 1.0
                self._elements.append((clip, DOF[name], how, size * vary, hz, onset + shift, end, rise, fall))
        return side

    def _posture(self, clip: int, setting: str, busy: float) -> set[int]:
        """Static posture of the clip, as constant elements; returns the motions it cannot be told from."""
        rng = self.rng
        constant = {
            "torso_pitch": rng.normal(0.16 if setting == "desk" else 0.06, 0.13),
            "torso_roll": rng.normal(0, 0.05),
            "torso_yaw": rng.normal(0, 0.08),
            "head_yaw": rng.normal(0, 0.34),
            "head_pitch": rng.normal(0.04, 0.17),
            "head_roll": rng.normal(0, 0.07),
            "hunch": rng.normal(0.03, 0.04),
            "shoulder_r": rng.normal(0, 0.025),
            "shoulder_l": rng.normal(0, 0.025),
            "thigh_down": rng.uniform(0.0, 0.4),
            "foot_fwd_r": rng.normal(0.05, 0.15),
            "foot_fwd_l": rng.normal(0.05, 0.15),
            "foot_in_r": rng.normal(0.05, 0.1),
            "foot_in_l": rng.normal(0.05, 0.1),
        }
        spread = rng.normal(0.22, 0.2)
        unsure: set[int] = set()
        constant["knee_out_r"], constant["knee_out_l"] = spread + rng.normal(0, 0.08), spread + rng.normal(0, 0.08)
        if setting == "chair" and rng.random() < 0.12:
            constant["cross_r" if rng.random() < 0.5 else "cross_l"] = rng.uniform(0.85, 1.1)
            unsure = {motion_index()["cross_legs"], motion_index()["curl_legs"]}
        if setting == "stand":
            constant["torso_up"] = 1.05
        if rng.random() < 0.7 * busy:
            unsure |= self._shift(clip)
        for name, size in constant.items():
            self._elements.append((clip, DOF[name], 0, size, 1.0, -10.0, 1e4, 0.5, 0.5))
        return unsure

    def _shift(self, clip: int) -> set[int]:
        """Unnamed changes of posture, as people make all the time; returns the motions they might be taken for."""
        rng = self.rng
        unsure: set[int] = set()
        restless = float(np.exp(rng.normal(0, 0.5)))
        for name, spread, taken_for in _SHIFTS:
            if rng.random() < 0.45:
                size, onset = rng.normal(0, spread * restless), rng.uniform(-0.5, self.frames / self.fps)
                end = onset + rng.uniform(0.4, 2.5)
                how = 1 if rng.random() < 0.6 else 0
                self._elements.append((clip, DOF[name], how, size, 1.0, onset, end, 0.4, 0.4))
                if abs(size) > 0.6 * spread:
                    unsure |= {motion_index()[motion] for motion in taken_for}
        return unsure

    # ---- all clips -------------------------------------------------------------------------------------------------

    def points(self, body: Body) -> Array:
        """Joints of all planned clips in space: float32 (N, T, 47, 3) in SW."""
        n, t = len(self.scripts), self.frames
        time = np.arange(t) / self.fps
        dof = self._noise(n, t)
        if self._elements:
            e = np.array(self._elements, np.float64)
            np.add.at(dof.swapaxes(1, 2), (e[:, 0].astype(int), e[:, 1].astype(int)), _element_curves(e, time))
        rises = np.maximum(dof[..., DOF["mouth_open"]], 0)
        dof[..., DOF["mouth_open"]] = rises
        right, left = (self._hand(side, time) for side in (0, 1))
        return pose_points(body, dof.astype(np.float32), right, left)

    def _noise(self, n: int, t: int) -> NDArray[np.float64]:
        """Sway, head movements of somebody who talks, breathing, syllables: (N, T, DOFS)."""
        rng, fps = self.rng, self.fps
        dof = np.zeros((n, t, len(DOFS)))
        lively = np.exp(rng.normal(0, 0.7, n))[:, None]
        talking = (rng.random(n) < 0.5)[:, None] * rng.uniform(0.3, 1.5, n)[:, None]
        slow = {"torso_pitch": 0.016, "torso_roll": 0.011, "torso_yaw": 0.018, "torso_x": 0.012}
        for name, size in slow.items():
            dof[..., DOF[name]] = size * lively * coloured(rng, (n, t), 1.6 * fps)
        for name, size in {"head_yaw": 0.045, "head_pitch": 0.030, "head_roll": 0.020}.items():
            drift = 0.9 * lively * coloured(rng, (n, t), 1.0 * fps)
            talk = talking * coloured(rng, (n, t), 0.22 * fps)
            dof[..., DOF[name]] = size * (drift + 0.7 * talk)
        for name in ("shoulder_r", "shoulder_l"):
            dof[..., DOF[name]] = 0.005 * lively * coloured(rng, (n, t), 0.8 * fps)
        breath = rng.uniform(0.2, 0.35, (n, 1)) * np.arange(t)[None] / fps + rng.random((n, 1))
        dof[..., DOF["torso_up"]] = 0.006 * np.sin(2 * np.pi * breath)
        syllable = np.maximum(coloured(rng, (n, t), 0.10 * fps), 0)
        dof[..., DOF["mouth_open"]] = 0.35 * np.minimum(talking, 1) * syllable
        for name in ("lips", "brows", "cheeks"):
            dof[..., DOF[name]] = 0.15 * coloured(rng, (n, t), 0.6 * fps)
        for name in ("foot_fwd_r", "foot_fwd_l", "knee_out_r", "knee_out_l"):
            dof[..., DOF[name]] = 0.008 * lively * coloured(rng, (n, t), 1.2 * fps)
        return dof

    def _hand(self, side: int, time: NDArray[np.float64]) -> HandPlan:
        n, t = len(self.scripts), len(time)
        rng = self.rng
        slots = [[clip[side][s] for clip in self._slots] for s in range(SLOTS)]
        on, reach, off, back = (np.array(x)[:, None] for x in zip(*(clip[side] for clip in self._times), strict=True))
        e1 = minimum_jerk((time - on) / reach)
        e2 = minimum_jerk((time - off) / back)
        blend = np.stack([1 - e1, e1 * (1 - e2), e1 * e2])

        def values(name: str) -> NDArray[np.float64]:
            return np.array([[getattr(slot, name) for slot in row] for row in slots], float)

        size, hz, phase, style = values("size"), values("hz"), values("phase"), values("style")
        angle = 2 * np.pi * hz[..., None] * time + phase[..., None]  # (S, N, T)
        gate = np.clip(0.75 + 0.6 * coloured(rng, (n, t), 0.5 * self.fps), 0.25, 1.15)
        sine = np.sin(angle)
        wave = np.where(style[..., None] == 1, np.abs(np.sin(angle / 2)), sine)[..., None] * np.ones(3)
        roam = np.stack([sine, np.sin(0.73 * angle + 1.7 * phase[..., None]), np.sin(1.37 * angle + 0.6)], -1)
        wave = np.where((style == 2)[..., None, None], roam, wave)
        offset = values("offset")[:, :, None] + size[:, :, None] * wave * gate[None, :, :, None]
        offset = offset + 0.012 * np.stack([coloured(rng, (n, t), 0.8 * self.fps) for _ in range(3)], -1)

        shapes = curls(values("shape").astype(int))  # (S, N, 5)
        curl = np.einsum("snt,snf->ntf", blend, shapes)
        fidget = values("fidget")  # (S, N, 2)
        amount = np.einsum("snt,sn->nt", blend, fidget[..., 0])
        rate = np.einsum("snt,sn->nt", blend, fidget[..., 1])
        finger_phase = rng.uniform(0, 2 * np.pi, (n, 1, 5)) * (rng.random((n, 1, 1)) < 0.6)
        curl = curl + amount[..., None] * np.sin(
            2 * np.pi * np.cumsum(rate, 1)[..., None] / self.fps + finger_phase
        ) + 0.04 * np.stack([coloured(rng, (n, t), 0.5 * self.fps) for _ in range(5)], -1)  # fmt: skip
        lift = 0.16 * 4 * (e1 * (1 - e1) + e2 * (1 - e2)) * rng.uniform(0.2, 1.2, (n, 1))
        f32 = np.float32
        return HandPlan(
            contact=values("contact").astype(np.int64),
            blend=blend.astype(f32),
            offset=offset.astype(f32),
            point=unit(values("point").astype(f32)),
            palm=unit(values("palm").astype(f32)),
            reach=values("reach").astype(f32),
            pole=values("pole").astype(f32),
            curl=np.clip(curl, 0, 1).astype(f32),
            lift=lift.astype(f32),
        )


def log_uniform(rng: np.random.Generator, between: tuple[float, float]) -> float:
    """A positive number whose logarithm is evenly distributed."""
    return float(np.exp(rng.uniform(*np.log(between))))


def minimum_jerk(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth step of a reaching movement: 0 before 0, 1 after 1, zero velocity and acceleration at both ends."""
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def coloured(rng: np.random.Generator, shape: tuple[int, ...], frames: float) -> NDArray[np.float64]:
    """First-order noise of unit variance along the last axis with a time constant of `frames`."""
    keep = float(np.exp(-1 / max(frames, 1e-3)))
    white = rng.standard_normal(shape)
    start = white[..., :1] * keep / np.sqrt(1 - keep**2) if keep > 0 else white[..., :1] * 0
    out, _ = lfilter([np.sqrt(1 - keep**2)], [1, -keep], white, axis=-1, zi=start * np.sqrt(1 - keep**2))
    return out  # type: ignore[no-any-return]


def _element_curves(e: NDArray[np.float64], time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Curves (E, T) of elements (clip, dof, how, size, hz, onset, end, rise, fall)."""
    how, size, hz, onset, end, rise, fall = (e[:, i, None] for i in range(2, 9))
    t = time[None]
    length = np.maximum(end - onset, 0.2)
    rise = np.minimum(rise, 0.45 * length)
    fall = np.minimum(fall, 0.45 * length)
    up = minimum_jerk((t - onset) / rise)
    down = minimum_jerk((t - (onset + length - fall)) / fall)
    hold = up * (1 - down)
    slow = minimum_jerk((t - onset) / np.clip(length, 0.3, 1.2))
    # at least one whole cycle fits into the motion
    angle = 2 * np.pi * np.maximum(hz, 1 / length) * (t - onset)
    short = np.clip(length, 0.25, 0.9)
    pulse = np.where((t > onset) & (t < onset + short), np.sin(np.pi * (t - onset) / short) ** 2, 0)
    curves: NDArray[np.float64] = np.select(
        [how == 0, how == 1, how == 2, how == 3],
        [hold, slow, hold * np.sin(angle), hold * (1 - np.cos(angle)) / 2],
        pulse,
    )
    curves *= size
    return curves


def _copy(slot: _Slot) -> _Slot:
    twin = _Slot(**{name: getattr(slot, name) for name in _Slot.__dataclass_fields__})
    twin.offset, twin.size = slot.offset.copy(), slot.size.copy()
    return twin
