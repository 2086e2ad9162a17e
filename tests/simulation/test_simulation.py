from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from microgesture.core.layouts import SKELETONS
from microgesture.core.normalise import body_normalise
from microgesture.core.taxonomies import taxonomy
from microgesture.simulation.body import SKELETON, Body, rotation
from microgesture.simulation.clips import SUBJECTS, people, simulate_clips, simulate_motions
from microgesture.simulation.motion import minimum_jerk
from microgesture.simulation.programs import TAXONOMY_KEYS, class_table, motion_index, motion_taxonomy, motions, rests
from microgesture.simulation.recording import simulate_recording


def joint(name: str) -> int:
    return SKELETON.index(name)


@pytest.mark.parametrize("key", TAXONOMY_KEYS)
def test_every_class_has_a_motion_and_every_motion_a_class(key: str) -> None:
    table = class_table(key)
    assert table.shape == (len(motions()), len(taxonomy(key)))
    assert (table.sum(0) >= 1).all()


def test_every_motion_serves_a_taxonomy() -> None:
    assert all(motion.classes for motion in motions())
    assert len({motion.name for motion in motions()}) == len(motions()) == len(motion_taxonomy())
    assert {rest.where for rest in rests()} == {"desk", "chair"}


@pytest.mark.parametrize("key", TAXONOMY_KEYS)
def test_clips_are_finite_balanced_and_repeatable(key: str) -> None:
    classes = len(taxonomy(key))
    a = simulate_clips(key, classes, 7, frames=20)
    b = simulate_clips(key, classes, 7, frames=20)
    assert a.xy.shape == (classes, 20, 47, 2)
    assert np.isfinite(a.xy).all()
    assert ((a.score >= 0) & (a.score <= 1)).all()
    assert (a.xy[a.score == 0] == 0).all()
    assert sorted(a.label) == list(range(classes))
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.label, b.label)
    assert (simulate_clips(key, classes, 8, frames=20).xy != a.xy).any()


def test_people_of_the_splits_are_different_and_stay_themselves() -> None:
    ranges = sorted(SUBJECTS.values())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))
    twice = people(np.array([3, 9, 3]))
    assert twice.forearm[0] == twice.forearm[2] != twice.forearm[1]


def test_the_main_motion_is_shown_and_sure() -> None:
    rng = np.random.default_rng(0)
    which = np.arange(len(motions()))
    clips = simulate_motions(rng, which, ["chair"] * len(which), frames=24)
    assert (clips.shown[which, which] == 1).all()
    assert (clips.sure[which, which] == 1).all()


def _peak_contact(name: str, joints: tuple[str, ...], setting: str) -> float:
    """Median over clips of the smallest distance between a finger and the joints, in SW of the picture."""
    rng = np.random.default_rng(1)
    clips = simulate_motions(rng, np.full(24, motion_index()[name]), [setting] * 24, frames=30, busy=0.0)
    body = body_normalise(clips.xy, clips.score, SKELETON).xy
    fingers = [joint(f"{s}_{f}") for s in "rl" for f in ("index_tip", "middle_tip", "thumb_tip", "index_mcp")]
    seen = clips.score[:, :, fingers] > 0
    place = body[:, :, [joint(j) for j in joints]].mean(2, keepdims=True)
    distance = np.where(seen, np.linalg.norm(body[:, :, fingers] - place, axis=-1), np.inf)
    return float(np.median(distance.min((1, 2))))


@pytest.mark.parametrize(
    ("motion", "joints"),
    [
        ("rub_eyes", ("r_eye", "l_eye")),
        ("touch_nose", ("nose",)),
        ("touch_mouth", ("r_mouth", "l_mouth")),
        ("cover_notch", ("neck",)),
        ("touch_legs", ("r_knee", "l_knee")),
    ],
)
def test_hands_get_where_their_program_sends_them(motion: str, joints: tuple[str, ...]) -> None:
    near = _peak_contact(motion, joints, "chair")
    far = _peak_contact("stretch_feet", joints, "chair")
    assert near < 0.35 if motion != "touch_legs" else near < 0.8
    assert near < far


def test_folded_arms_bring_each_hand_to_the_other_side() -> None:
    rng = np.random.default_rng(2)

    def crossed(name: str) -> float:
        clips = simulate_motions(rng, np.full(40, motion_index()[name]), ["chair"] * 40, frames=36, busy=0.0)
        body = body_normalise(clips.xy, clips.score, SKELETON).xy
        return float((body[:, :, joint("r_wrist"), 0] > body[:, :, joint("l_wrist"), 0]).any(1).mean())

    assert crossed("fold_arms") > 0.5
    assert crossed("touch_legs") < 0.2


@pytest.mark.parametrize(
    ("joints", "real"), [(("nose", "r_eye"), 0.0033), (("r_shoulder",), 0.0020), (("r_wrist",), 0.0035)]
)
def test_stillness_looks_like_that_of_real_tracks(joints: tuple[str, ...], real: float) -> None:
    """Noise of .8 to 4 Hz in still stretches of real tracks, in SW; quiet simulated clips reach down to it.

    People who talk move more than the estimator's noise, so the quietest tenth of idle clips is compared.
    """
    rng = np.random.default_rng(3)
    clips = simulate_motions(rng, np.full(120, -1), ["chair"] * 120, frames=60, busy=0.0)
    body = body_normalise(clips.xy, clips.score, SKELETON).xy
    band = butter(2, (0.8, 4.0), "bandpass", fs=clips.fps, output="sos")
    rms = np.sqrt((sosfiltfilt(band, body[:, :, [joint(j) for j in joints]], axis=1) ** 2).mean((1, 2, 3)))
    assert real / 1.5 < np.percentile(rms, 10) < real * 2.5


def test_hands_that_meet_are_lost_more_often() -> None:
    rng = np.random.default_rng(4)

    def lost(name: str) -> float:
        clips = simulate_motions(rng, np.full(40, motion_index()[name]), ["chair"] * 40, frames=30, busy=0.0)
        return float((clips.score[:, :, [joint("r_middle_tip"), joint("l_middle_tip")]] == 0).mean())

    assert lost("fold_arms") > 1.5 * lost("spread_hands")


def test_legs_behind_a_table_are_invented_and_unsure() -> None:
    rng = np.random.default_rng(5)
    clips = simulate_motions(rng, np.full(8, -1), ["desk"] * 8, frames=16)
    assert clips.score[:, :, joint("r_knee")].max() < 0.02
    hips = clips.score[:, :, joint("r_hip")]
    assert 0.1 < hips.min() <= hips.max() < 0.7
    chair = simulate_motions(rng, np.full(8, -1), ["chair"] * 8, frames=16)
    assert chair.score[:, :, joint("r_knee")].min() == 1


def test_rotation_turns_the_front_to_the_left() -> None:
    turn = rotation(np.float32(np.pi / 2), np.float32(0), np.float32(0))
    np.testing.assert_allclose(turn @ np.array([0, 0, 1]), [1, 0, 0], atol=1e-6)
    bow = rotation(np.float32(0), np.float32(np.pi / 2), np.float32(0))
    np.testing.assert_allclose(bow @ np.array([0, -1, 0]), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)


def test_minimum_jerk_starts_and_ends_at_rest() -> None:
    x = minimum_jerk(np.linspace(-0.5, 1.5, 401))
    assert x[0] == 0
    assert x[-1] == 1
    assert (np.diff(x) >= 0).all()
    assert abs(x[101] - x[100]) < 1e-5


def test_proportions_vary_but_stay_human() -> None:
    body = Body.draw(np.random.default_rng(0), 500)
    assert 0.02 < body.forearm.std() / body.forearm.mean() < 0.12
    assert body.torso.min() > 0.9
    assert body.torso.max() < 2.0


@pytest.mark.parametrize("key", TAXONOMY_KEYS)
def test_a_recording_has_truth_states_and_no_jumps(key: str) -> None:
    recording = simulate_recording(key, 1.0, seed=11, rate=20.0)
    assert len(recording.track) == 900
    assert recording.timeline.duration == pytest.approx(60)
    assert 4 <= len(recording.timeline) <= 10
    assert recording.states[0][0] == 0
    assert recording.states[-1][1] == pytest.approx(60)
    assert {name for _, _, name in recording.states} == {"calm", "tense"}
    nose = recording.track.xy[:, joint("neck")]
    assert np.abs(np.diff(nose, axis=0)).max() < 60  # pixels of 170 per SW
    again = simulate_recording(key, 1.0, seed=11, rate=20.0)
    np.testing.assert_array_equal(recording.track.xy, again.track.xy)


def test_tension_doubles_self_touching() -> None:
    touches = {"calm": 0.0, "tense": 0.0}
    minutes = {"calm": 0.0, "tense": 0.0}
    space = taxonomy("ma52")
    for seed in range(6):
        recording = simulate_recording("ma52", 8.0, seed=seed, tail=0.0)
        for start, end, name in recording.states:
            minutes[name] += (end - start) / 60
            touches[name] += sum(
                start <= s.start < end and space[s.label].group in ("Head-hand", "Body-hand")
                for s in recording.timeline
            )
    assert touches["tense"] / minutes["tense"] > 1.2 * touches["calm"] / minutes["calm"]


def test_impossible_minutes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"minutes is 0, expected a positive number"):
        simulate_recording("imigue", 0, seed=1)


def test_the_canonical_skeleton_is_the_simulators() -> None:
    assert SKELETONS["canonical"] == SKELETON


@pytest.mark.parametrize("key", TAXONOMY_KEYS)
def test_a_labelled_clip_shows_no_second_class_of_its_taxonomy(key: str) -> None:
    clips = simulate_clips(key, 120, 5, frames=24)
    shown = clips.shown @ class_table(key) > 0
    own = np.zeros_like(shown)
    for i, motion in enumerate(clips.motion):
        own[i] = class_table(key)[motion] > 0
    assert not (shown & ~own).any()


def test_batches_smaller_than_the_label_space_show_every_class() -> None:
    shown = {int(k) for seed in range(40) for k in simulate_clips("ma52", 8, seed, frames=4).label}
    assert shown == set(range(52))
