"""Picks as tables of pandas: for SeisBench's users, and for the associator PyOcto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.picks.pick import Pick
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    import pandas

StationNames = Literal["nsl", "ns", "sta"]
_PARTS = {"nsl": slice(None), "ns": slice(0, 2), "sta": slice(1, 2)}


def dataframe(picks: Sequence[Pick]) -> pandas.DataFrame:
    """Columns station, time (datetime64, UTC without zone), probability, uncertainty_s, phase."""
    frame = _pandas("to_dataframe")
    return frame.DataFrame(
        {
            "station": frame.Series([pick.trace_id for pick in picks], dtype="object"),
            "time": frame.Series([pick.time.datetime for pick in picks], dtype="datetime64[us]"),
            "probability": frame.Series([pick.probability for pick in picks], dtype="float64"),
            "uncertainty_s": frame.Series([pick.uncertainty_s for pick in picks], dtype="float64"),
            "phase": frame.Series([pick.phase for pick in picks], dtype="object"),
        }
    )


def pyocto_table(picks: Sequence[Pick], station_id: StationNames) -> pandas.DataFrame:
    """What ``pyocto.OctoAssociator.associate`` takes: station, phase, time (Unix seconds), probability."""
    if station_id not in _PARTS:
        raise PhasenoPeftError(f"`station_id` should be one of {', '.join(_PARTS)} but is {station_id!r}.")
    frame = _pandas("to_pyocto")
    names = [".".join(station_fields(pick.trace_id)[_PARTS[station_id]]) for pick in picks]
    return frame.DataFrame(
        {
            "station": frame.Series(names, dtype="object"),
            "phase": frame.Series([pick.phase for pick in picks], dtype="object"),
            "time": frame.Series([pick.time.timestamp for pick in picks], dtype="float64"),
            "probability": frame.Series([pick.probability for pick in picks], dtype="float64"),
        }
    )


def _pandas(method: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise PhasenoPeftError(
            f"PickList.{method}() needs pandas, which is not installed. Install it: pip install pandas"
        ) from error
    return pandas
