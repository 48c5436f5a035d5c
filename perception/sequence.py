"""LSTM: an encoder that reads single frames, one after the other, and must tell what no single one shows.

The same convolutions look at each frame alone; only the LSTM, which recalls earlier frames, can tell how things move.
It learns the state's numbers as the supervised encoder does, velocity and time to impact among them.
"""

from dataclasses import dataclass

from experiment.errors import UserError
from experiment.ranges import NonNegative
from perception.dataset import Dataset
from perception.encoder import Encoder
from perception.supervised import Supervised, SupervisedConfig


@dataclass
class SequenceConfig(SupervisedConfig):
    """Settings of the LSTM."""

    detection_coef: NonNegative = 0.0
    """weight of finding sprites; 0 for the numbers alone"""


class Sequence(Supervised):
    """Numbers, and sprites if they are asked for, from an LSTM's output; the network must be `lstm`.

    Raises:
        UserError: for another network.
    """

    objective = "lstm"

    def __init__(self, encoder: Encoder, config: SequenceConfig, data: Dataset) -> None:
        if encoder.spec.network != "lstm":
            raise UserError(f"encoder-lstm trains the lstm encoder, not {encoder.spec.network}")
        super().__init__(encoder, config, data)
