"""Everything that has a name in a configuration or on the command line, by kind, and how others add to it.

A package adds a method, say, by an entry point of the group ``rapidash.methods`` in its ``pyproject.toml``::

    [project.entry-points."rapidash.methods"]
    my-method = "my_package.my_method:MyMethod"

It is then found wherever the package is installed, in every process of a study too. A module that is imported anyway
may call ``METHODS.register("my-method")`` instead.
"""

from typing import Any

from rapidash._registry import PluginError, Registry

__all__ = [
    "DESIGNS",
    "LAUNCHERS",
    "MEASURES",
    "METHODS",
    "NETWORKS",
    "OBJECTIVES",
    "REGISTRIES",
    "SECTIONS",
    "TASKS",
    "PluginError",
    "Registry",
]

_TASK_CLASSES = {
    "nbody": "NBodyTask",
    "cmu": "CmuTask",
    "md": "MdTask",
    "qm9": "Qm9Task",
    "shapes": "ShapesTask",
    "modelnet40": "ModelNet40Task",
    "scanobjectnn": "ScanObjectNNTask",
    "shapenet-part": "ShapeNetPartTask",
    "meshseg": "MeshsegTask",
    "mnist-sp": "MnistSpTask",
    "tables": "TablesTask",
}


def _module(name: str) -> str:
    return name.replace("-", "_")


NETWORKS: Registry[Any] = Registry(
    "networks",
    "network",
    {
        "rapidash": "rapidash.models:RapidashConfig",
        "EGNN": "rapidash.models:EGNNConfig",
        "DGCNN": "rapidash.models:DGCNNConfig",
        "mlp": "rapidash.models:MLPConfig",
    },
)
TASKS: Registry[Any] = Registry(
    "tasks",
    "task",
    {
        **{name: f"rapidash.tasks.{_module(name)}:{made}" for name, made in _TASK_CLASSES.items()},
        "grid-world": "rapidash.relax.rl:GridWorldTask",
        "pendulum": "rapidash.relax.rl:PendulumTask",
    },
)
METHODS: Registry[Any] = Registry(
    "methods",
    "method",
    {
        "augment": "rapidash.methods:Augment",
        "average": "rapidash.methods:Average",
        "ace": "rapidash.relax:ACE",
        "relaxed-conv": "rapidash.relax:RelaxedFiberConv",
        "shared-networks": "rapidash.relax.rl:SharedNetworks",
        "relaxed-networks": "rapidash.relax.rl:RelaxedNetworks",
        "residual-networks": "rapidash.relax.rl:ResidualNetworks",
    },
)
OBJECTIVES: Registry[Any] = Registry(
    "objectives",
    "objective",
    {
        "supervised": "rapidash.methods:Supervised",
        "fitted-q": "rapidash.relax.rl:FittedQ",
        "actor-critic": "rapidash.relax.rl:ActorCritic",
    },
)
MEASURES: Registry[Any] = Registry("measures", "measure", {})
DESIGNS: Registry[Any] = Registry(
    "designs",
    "study",
    {
        name: f"rapidash.study.designs.{_module(name)}:make_design"
        for name in (*_TASK_CLASSES, "nbody-methods", "relax-rl")
    },
)
LAUNCHERS: Registry[Any] = Registry(
    "launchers",
    "launcher",
    {
        "local": "rapidash.study._study:launch_local",
        "ray": "rapidash.study._cluster:launch_ray",
        "slurm": "rapidash.study._cluster:launch_slurm",
    },
)
SECTIONS: Registry[Any] = Registry("sections", "report section", {})
REGISTRIES = {
    registry.group: registry
    for registry in (NETWORKS, TASKS, METHODS, OBJECTIVES, MEASURES, DESIGNS, LAUNCHERS, SECTIONS)
}
