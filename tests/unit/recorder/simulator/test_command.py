"""Options and reports of `recorder simulate`."""

import asyncio
import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from recorder.simulator.command import simulate
from recorder.simulator.g711 import Law
from recorder.simulator.journal import Journal
from recorder.simulator.lateness import Lateness
from recorder.simulator.options import parse_pause, parse_target
from recorder.simulator.oracle import Difference, Verdict
from recorder.simulator.report import all_good, json_lines, report_lines, summary_line
from recorder.simulator.rtp_sender import SenderFigures
from recorder.simulator.scenario import Pause
from recorder.simulator.simulation import CallOutcome, RunOutcome, Target
from tests.unit.recorder.simulator.tiny_recorder import TinyRecorder

app = typer.Typer()
app.command()(simulate)


def outcome(*calls: CallOutcome) -> RunOutcome:
    return RunOutcome(Journal(Law.PCMU, ""), calls, SenderFigures(20_000, 0, 8, 4, Lateness()))


GOOD = CallOutcome(0, "id-0", True, 200, "")
REFUSED = CallOutcome(1, "id-1", False, 503, "open: Service Unavailable")
EQUAL = Verdict(0, "id-0", 10_000, 10_000, ())
WORSE = Verdict(1, "id-1", 10_000, 9_990, tuple(Difference(1, 0, n / 10, "missing", "1 packets") for n in range(30)))


def test_the_last_line_says_that_all_is_equal() -> None:
    verdicts = [EQUAL, Verdict(1, "id-1", 10_000, 10_000, ())]
    run = outcome(GOOD, CallOutcome(1, "id-1", True, 200, ""))
    assert summary_line(run, verdicts) == "verified 2 of 2 calls: sent = recorded (20,000 packets, 0 lost)"
    assert report_lines(run, verdicts, None)[-1] == summary_line(run, verdicts)
    assert all_good(run, verdicts)


def test_the_last_line_says_what_differs() -> None:
    run = outcome(GOOD, CallOutcome(1, "id-1", True, 200, ""))
    verdicts = [EQUAL, WORSE]
    assert summary_line(run, verdicts) == ("verified 1 of 2 calls: sent and recorded DIFFER (20,000 packets, 10 lost)")
    lines = report_lines(run, verdicts, Path("j.npz"))
    assert lines[1] == "call 1, party 0 (agent), at 0.000 s: missing: 1 packets"
    assert lines[-3:-1] == ["... and 10 more", "what was sent is in j.npz"]
    assert not all_good(run, verdicts)


def test_a_failed_call_fails_the_run_although_the_others_are_equal() -> None:
    run = outcome(GOOD, REFUSED)
    assert not all_good(run, [EQUAL])
    assert "call 1 (id-1): failed: 503 open: Service Unavailable" in report_lines(run, [EQUAL], None)
    assert summary_line(run, [EQUAL]).startswith("verified 1 of 2 calls: sent and recorded DIFFER")


def test_without_comparison_it_says_so() -> None:
    assert summary_line(outcome(GOOD, REFUSED), None) == (
        "completed 1 of 2 calls; recordings were not compared (use --verify)"
    )


def test_the_report_for_scripts_has_every_verdict() -> None:
    report = json.loads("\n".join(json_lines(outcome(GOOD, REFUSED), [EQUAL, WORSE])))
    assert report["equal"] is False
    assert report["completed"] == 1
    assert [verdict["equal"] for verdict in report["verdicts"]] == [True, False]
    assert report["verdicts"][1]["differences"][0]["what"] == "missing"
    assert report["calls"][1]["status"] == 503
    assert json.loads("\n".join(json_lines(outcome(GOOD), None)))["equal"] is None


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("udp:127.0.0.1:5060", Target("udp", "127.0.0.1", 5060)),
        ("tcp:192.0.2.1:5070", Target("tcp", "192.0.2.1", 5070)),
        ("udp:[::1]:5060", Target("udp", "::1", 5060)),
        ("tls:127.0.0.1:5061", Target("tls", "127.0.0.1", 5061)),
    ],
)
def test_a_target_is_transport_host_and_port(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text", ["127.0.0.1:5060", "dtls:127.0.0.1:1", "udp:127.0.0.1", "udp::5060", "udp:127.0.0.1:99999", "udp:h:x", ""]
)
def test_another_target_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"udp:127\.0\.0\.1:5060|tcp:127\.0\.0\.1:5060|for example"):
        parse_target(text)


def test_a_pause_is_two_times() -> None:
    assert parse_pause("3:2.5") == Pause(3.0, 2.5)


@pytest.mark.parametrize("text", ["3", "3:", "a:b", "-1:2", "3:0", "3:-1", "3:inf", "nan:1"])
def test_another_pause_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="AT:FOR"):
        parse_pause(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "nowhere"], "begin with udp:, tcp: or tls:"),
        (["--pause", "1:1", "--seconds", "2"], "--pause must end before the 2 s"),
        (["--pause", "1:2", "--pause", "2:1"], "begins before the one before it has ended"),
        (["--local-host", "here"], "give an IP address"),
        (["--journal", "/nowhere/at/all/j.npz"], "its directory does not exist"),
        (["--calls", "0"], "greater than or equal to 1"),
        (["--loss", "101"], "less than or equal to 100"),
        (["--door", "window"], "is not one of"),
    ],
)
def test_wrong_options_give_one_clear_message_and_status_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 2
    assert message in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())
    assert "Traceback" not in result.output


def test_verifying_without_a_recorder_says_so_before_any_call(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--verify", "--state-dir", str(tmp_path)])
    assert result.exit_code == 6
    assert f"no recorder runs on {tmp_path}" in result.output


async def test_calls_that_are_refused_give_status_1(tmp_path: Path) -> None:
    async with TinyRecorder() as recorder:
        recorder.refuse = "503 Service Unavailable"
        journal = tmp_path / "journal.npz"
        arguments = ["--target", f"udp:127.0.0.1:{recorder.port}", "--calls", "2", "--journal", str(journal)]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == 1
    assert "failed: 503 open: Service Unavailable" in result.output
    assert result.output.splitlines()[-1] == "completed 0 of 2 calls; recordings were not compared (use --verify)"
    assert len(Journal.load(journal).calls) == 2
