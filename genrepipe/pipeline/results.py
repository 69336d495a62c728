"""Typed results of the verbs. ``to_dict()`` gives the JSON object that ``--output json`` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrepipe.core.results import Result

if TYPE_CHECKING:
    from genrepipe.core.profile import StepCost
    from genrepipe.ingest.columns import ColumnSummary
    from genrepipe.quality.comparison import Comparison
    from genrepipe.quality.performance import Measured
    from genrepipe.quality.quarantine import BrokenRule, OpenRows


@dataclass(frozen=True)
class ContractSummary(Result):
    """A contract that ships."""

    contract: str
    version: str
    tables: list[str]
    purpose: str


@dataclass(frozen=True)
class ContractChange(Result):
    """One difference between two versions of a contract."""

    contract: str
    kind: str  # breaking, addition or other
    where: str
    what: str


@dataclass(frozen=True)
class ContractDiff(Result):
    """What changed between two contracts, or two folders of them."""

    status: str  # same, compatible or breaking
    old: str
    new: str
    versions: dict[str, list[str | None]]  # of each document, before and after; None where it is not there
    changes: list[ContractChange]


@dataclass(frozen=True)
class PublishedTable(Result):
    """One table and run date that was written."""

    run_date: str
    table: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class PublishResult(Result):
    """What was written and removed in a target, and which run dates of the warehouse it lacks still."""

    status: str  # published, or already published: nothing was different
    warehouse: str
    to: str
    format: str
    run_id: str  # the newest run in the warehouse
    run_dates: list[str]  # of which anything was written or removed
    written: list[PublishedTable]
    removed: list[str]  # table and run date
    held: int  # run dates of which the target has predictions
    missing: list[str]  # those of the warehouse that it lacks
    seconds: float


@dataclass(frozen=True)
class FailedPublish(Result):
    """Why what a run predicted was not published; the run stands."""

    to: str
    error: str
    message: str
    exit_code: int
    status: str = "failed"


@dataclass(frozen=True)
class ScoreResult(Result):
    """What a scoring run did. ``received = predicted + quarantined + duplicates + empty``, always."""

    status: str  # published, already published, or dry run
    run_id: str
    run_date: str
    model: str
    model_version: str
    warehouse: str
    received: int
    predicted: int
    quarantined: int
    duplicates: int
    empty: int
    filtered: int  # rows that the recipe's filter leaves out; they are not among those received
    withdrawn: int  # tracks of the delivery before that a snapshot lacks
    imputed: dict[str, int]  # rows by imputed column
    flips: int
    warnings: list[str]  # names of checks
    seconds: float
    rows_per_second: int
    stages: dict[str, float]  # seconds of each
    profile: list[StepCost]  # of a run that was profiled
    publish: PublishResult | FailedPublish | None  # what became of the key publish


@dataclass(frozen=True)
class ReplayResult(ScoreResult):
    """What became of corrected rows: the rules that they still break, and the rows of the date that are resolved and open."""

    reasons: list[BrokenRule]
    resolved: int
    open: int


@dataclass(frozen=True)
class FailedDate(Result):
    """A run date of a backfill that failed."""

    run_date: str
    error: str
    message: str
    exit_code: int
    status: str = "failed"


@dataclass(frozen=True)
class BackfillResult(Result):
    """What became of each run date, the oldest first; ``exit_code`` is that of the first failure, or 0."""

    status: str  # published or failed
    runs: list[ScoreResult | FailedDate]
    exit_code: int


@dataclass(frozen=True)
class InitResult(Result):
    """A folder for a job that was begun, and what it holds."""

    folder: str
    job_file: str
    json_schema: str
    inbox: str
    warehouse: str
    status: str = "begun"


@dataclass(frozen=True)
class Finding(Result):
    """One thing that ``doctor`` looked at."""

    check: str
    status: str  # ok, warn or fail
    message: str
    remedy: str = ""
    exit_code: int = 0  # with which a run would end, where it fails


@dataclass(frozen=True)
class DoctorResult(Result):
    """Whether a job can run; ``exit_code`` is that of the first finding that fails, or 0."""

    status: str  # ok, warn or fail: the worst of the findings
    findings: list[Finding]
    exit_code: int


@dataclass(frozen=True)
class MissingResult(Result):
    """The dates of a range without a published run."""

    missing: list[str]
    dates: int
    status: str = "listed"


@dataclass(frozen=True)
class CheckSummary(Result):
    """One check of ``validate``."""

    name: str
    verdict: str  # passed, warning or failed
    observed: float
    allowed: float
    sentence: str
    values: list[dict[str, Any]]  # the most frequent that break it, where it counts the rows of one column


@dataclass(frozen=True)
class ValidateResult(Result):
    """How a source keeps its contract."""

    status: str  # accepted, or rejected: a run would be stopped
    received: int
    accepted: int
    quarantined: int
    duplicates: int
    empty: int
    filtered: int  # rows that the recipe's filter leaves out; they are not among those received
    quarantined_percent: float
    max_quarantined_percent: float
    reasons: list[BrokenRule]
    checks: list[CheckSummary]
    notes: list[str]
    doubts: list[str]  # of units, as the values look
    columns: list[ColumnSummary]
    seconds: float


@dataclass(frozen=True)
class ProposeResult(Result):
    """A recipe that was written: the columns that it reads, and those that are left to be filled in."""

    recipe: str
    columns: dict[str, str]  # column of the contract: what was found, and why
    fill_in: list[str]
    status: str = "proposed"


@dataclass(frozen=True)
class PublishedRun(Result):
    """One published line of the ledger."""

    run_id: str
    run_date: str
    action: str
    job: str


@dataclass(frozen=True)
class RollbackResult(Result):
    """The run whose state is served now, and those that are undone."""

    run_id: str
    warehouse: str
    to: PublishedRun
    undone: list[PublishedRun]
    status: str = "rolled back"


@dataclass(frozen=True)
class VacuumResult(Result):
    """The files that were removed from a lake, and those that its warehouse lists."""

    warehouse: str
    removed: int
    bytes: int
    listed: int
    status: str = "vacuumed"


@dataclass(frozen=True)
class RetractResult(Result):
    """The delivery that was taken back, and how many predictions went with it."""

    run_id: str
    warehouse: str
    job: str
    run_date: str
    predictions: int
    status: str = "retracted"


@dataclass(frozen=True)
class VerifyResult(Result):
    """A run's answers beside those of scoring its input again."""

    status: str  # identical, within tolerance, or different
    run_id: str
    run_date: str
    model: str
    tracks: int
    compared: int
    largest_difference: float  # of a probability
    tolerance: float
    genres_differ: int
    later_runs: int
    explained: bool  # false where the answers differ and no later run can be the reason


@dataclass(frozen=True)
class LabelsResult(Result):
    """What became of each row of a labels file, and how good the runs were that predicted those tracks."""

    run_id: str
    warehouse: str
    received: int
    labelled: int
    unknown_tracks: int
    repeated: int
    not_labels: int
    performance: list[Measured]
    status: str = "measured"


@dataclass(frozen=True)
class ModelPerformance(Result):
    """How good one bundle's predictions of a run date were."""

    role: str  # served or shadow
    model: str
    tracks: int
    accuracy: float
    macro_auroc: float | None


@dataclass(frozen=True)
class Disagreement(Result):
    """How many tracks have one genre as served, and another one of the shadow."""

    served: str
    shadow: str
    tracks: int


@dataclass(frozen=True)
class CompareResult(Result):
    """The shadow's answers of a job's run date beside those that were served."""

    run_date: str
    job: str
    model: str
    shadow: str
    tracks: int
    agreement: float  # share of the tracks with the same genre
    flips: list[Disagreement]  # the most frequent first
    performance: list[ModelPerformance]
    status: str = "compared"


@dataclass(frozen=True)
class QuarantineList(Result):
    """Open rows by run date, job and rule."""

    groups: list[OpenRows]
    status: str = "listed"


@dataclass(frozen=True)
class ExportResult(Result):
    """A file of open rows to correct."""

    rows: int
    file: str
    status: str = "exported"


@dataclass(frozen=True)
class SignResult(Result):
    """A bundle that was signed."""

    model: str
    version: str
    signature: str
    status: str = "signed"


@dataclass(frozen=True)
class PromoteResult(Result):
    """The champion of a folder of bundles, before and now, and what spoke for it."""

    before: str
    champion: str
    bundles: str
    promotions: str | None  # the file that keeps this promotion; None where the bundle was the champion already
    evidence: Comparison | None
    reason: str | None  # why it was promoted without evidence, or against it
    status: str = "promoted"  # or already champion


@dataclass(frozen=True)
class ModelSummary(Result):
    """A bundle, and how good it is for artists that it was not trained on."""

    champion: bool
    model: str
    version: str
    summary: str
    parameters: int
    macro_auroc: float
    accuracy: float
    folder: str
    sha256: str


@dataclass(frozen=True)
class MeasureDiff(Result):
    """One measure of two bundles on one split: mean and standard deviation over the folds of each, and the difference."""

    split: str
    measure: str
    before: float
    before_sd: float
    after: float
    after_sd: float
    difference: float


@dataclass(frozen=True)
class ModelDiff(Result):
    """What changed from one bundle to another."""

    before: str  # name and version
    after: str
    same_data: bool  # both were trained on tables with one fingerprint
    parameters: list[int]  # before and after
    inputs_added: list[str]  # columns
    inputs_removed: list[str]
    recipe: dict[str, list[Any]]  # settings that differ, before and after
    measures: list[MeasureDiff]
    golden_rows: int  # of the first bundle that the second can answer: 0 where it reads other columns
    golden_genres: int  # of those with another genre
    golden_largest: float  # difference of a probability
    status: str = "compared"


@dataclass(frozen=True)
class BrokenModel(Result):
    """A bundle that cannot be loaded."""

    champion: bool
    model: str
    broken: str


@dataclass(frozen=True)
class ModelList(Result):
    """All bundles."""

    models: list[ModelSummary | BrokenModel]


@dataclass(frozen=True)
class VerifiedModel(ModelSummary):
    """A bundle whose files and answers are what they were."""

    golden_rows: int
    largest_difference: float  # of a probability
    tolerance: float
    status: str = "verified"
