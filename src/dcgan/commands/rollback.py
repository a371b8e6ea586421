"""`dcgan rollback`: the champion before the present one is champion again."""

from dcgan.commands.registered_model import NameOption, ReasonOption, one_line_reason, registered_model
from dcgan.tracking.promotion import roll_back
from dcgan.tracking.store import open_store


def roll_back_champion(
    *,
    reason: ReasonOption = None,
    name: NameOption = None,
) -> None:
    """Give the alias champion back to the version that had it before.

    Raises:
        BadDataError: there is no such model, or no earlier champion.
        BusyError: somebody else moved the alias meanwhile.
        DcganError: MLflow is missing, cannot be reached or refuses something.
    """
    why, chosen = one_line_reason(reason), registered_model(name)
    with open_store() as client:
        print("\n".join(roll_back(client, chosen, reason=why)))
