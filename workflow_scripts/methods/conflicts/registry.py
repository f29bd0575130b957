"""Every kind of conflict, by the name that settings call it."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workflow_scripts.methods.conflicts.conflict import Conflict
from workflow_scripts.methods.conflicts.explicit import Explicit
from workflow_scripts.methods.conflicts.mixture import Implicit, ImplicitMatched
from workflow_scripts.methods.conflicts.none import NoConflict
from workflow_scripts.methods.conflicts.placebo import Placebo

CONFLICTS: dict[str, type[Conflict]] = {
    "none": NoConflict,
    "placebo": Placebo,
    "explicit": Explicit,
    "implicit": Implicit,
    "implicit_matched": ImplicitMatched,
}
"""Each kind's class."""

SFT_CONFLICTS = {kind.supervision: kind() for kind in (NoConflict, Implicit, ImplicitMatched)}
"""The conflict under which the SFT before SimPO and DPO is trained, by its name in paths.

Conflicts that differ in their loss alone share one SFT.
"""

if TYPE_CHECKING:
    AnyConflict = Conflict
else:
    AnyConflict = Annotated[reduce(or_, CONFLICTS.values()), Field(discriminator="kind")]
