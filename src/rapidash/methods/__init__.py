"""The parts of a run: tasks, variants, training methods, objectives, and the evaluation of models."""

from rapidash.methods._augment import Augment
from rapidash.methods._average import AVERAGED, Average, AveragedModel, OrbitAverage, orbit_average, orbit_predictions
from rapidash.methods._build import build_model
from rapidash.methods._earlier import modern_variant
from rapidash.methods._evaluate import EvalResult, evaluate, in_eval_mode, predict, predict_batches
from rapidash.methods._measure import Measure, Measurement, Subject
from rapidash.methods._method import FULL, Control, Enter, Method, ParamGroup, StepView
from rapidash.methods._objective import Objective, Score, Step, Supervised, refuse_average
from rapidash.methods._picture import Moment, Picture
from rapidash.methods._scene import Scene, SceneCloud
from rapidash.methods._symmetrizing import DrawControl, SymmetrizedModel, SymmetrizingMethod
from rapidash.methods._task import HOW_IT_READS, DetailedTask, Split, Task
from rapidash.methods._variant import Variant
from rapidash.methods._views import all_view_names, in_view, seen_in_view, view_ledger, view_names

__all__ = [
    "AVERAGED",
    "FULL",
    "HOW_IT_READS",
    "Augment",
    "Average",
    "AveragedModel",
    "Control",
    "DetailedTask",
    "DrawControl",
    "Enter",
    "EvalResult",
    "Measure",
    "Measurement",
    "Method",
    "Moment",
    "Objective",
    "OrbitAverage",
    "ParamGroup",
    "Picture",
    "Scene",
    "SceneCloud",
    "Score",
    "Split",
    "Step",
    "StepView",
    "Subject",
    "Supervised",
    "SymmetrizedModel",
    "SymmetrizingMethod",
    "Task",
    "Variant",
    "all_view_names",
    "build_model",
    "evaluate",
    "in_eval_mode",
    "in_view",
    "modern_variant",
    "orbit_average",
    "orbit_predictions",
    "predict",
    "predict_batches",
    "refuse_average",
    "seen_in_view",
    "view_ledger",
    "view_names",
]
