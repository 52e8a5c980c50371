"""The shell: what a program that pipes lines into it can rely on, and that it does not wait without
need."""

import contextlib
import json
import os
import pty
import re
import subprocess

import harness
from harness import check, check_equal, test
from scripted_server import ScriptedServer

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def shell(run, server, text, *arguments):
    return run.till_with_input(text, "shell", "--connect", "%s:%d" % server.address, *arguments)


def objects(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@contextlib.contextmanager
def piped(run, address, *arguments):
    """A shell with pipes, whose input stays open."""
    with subprocess.Popen([run.binary, "shell", "--connect", address, *arguments],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process, text):
    process.stdin.write(text)
    process.stdin.flush()


@test
def every_line_has_one_json_object_with_its_number(run):
    server = run.serve()
    text = """sku.put sku=7 price=1999 currency=USD

# a comment
order.palce order=1
stock.adjust sku=7
help
help stats
help nothing
   stats
stock.get sku=7 sku=8\0
order.get order=1 order=2
quit
stats
"""
    result = shell(run, server, text, "--json")
    answers = objects(result)
    check_equal([answer["line"] for answer in answers], [1, 4, 5, 6, 7, 8, 9, 10, 11, 12], "lines")
    outcomes = {answer["line"]: answer["outcome"] for answer in answers}
    check_equal(outcomes, {1: "OK", 4: "REFUSED", 5: "INVALID", 6: "OK", 7: "OK", 8: "REFUSED",
                           9: "OK", 10: "REFUSED", 11: "REFUSED", 12: "OK"}, "outcomes")
    by_line = {answer["line"]: answer for answer in answers}
    check("no command order.palce" in by_line[4]["reason"], f"the reason: {by_line[4]}")
    check("order is given twice" in by_line[11]["reason"], f"the reason: {by_line[11]}")
    check("order.place" in by_line[6]["text"], "help tells the commands")
    check_equal(result.returncode, 1, "the exit code when a line was refused")
    for line in (4, 8, 10, 11):
        check(f"line {line}: refused: " in result.stderr, f"line {line} is told to a person")
    run.finish(server)


@test
def exit_code_tells_of_rejections_when_it_is_asked_to(run):
    server = run.serve()
    good = "sku.put key=1 sku=7 price=1 currency=USD\n" * 2
    rejected = "stock.adjust sku=9 warehouse=1 delta=1\n"
    for text, code, code_asked in ((good, 0, 0), (rejected, 0, 1), (good + rejected + good, 0, 1),
                                   ("order.palce\n", 1, 1), ("", 0, 0), ("help\n", 0, 0)):
        check_equal(shell(run, server, text).returncode, code, f"exit code of {text!r}")
        check_equal(shell(run, server, text, "--fail").returncode, code_asked,
                    f"exit code with --fail of {text!r}")
    run.finish(server)


@test
def keys_that_are_made_up_are_shown_and_can_be_sent_again(run):
    server = run.serve()
    line = "sku.put sku=7 price=1 currency=USD"
    for arguments in ((), ("--json",)):
        told = shell(run, server, line + "\n", *arguments).stdout
        key = UUID.search(told)
        check(key, f"no key in {told}")
        again = shell(run, server, f"{line} key={key[0]}\n", *arguments).stdout
        check("REPLAYED" in again, f"the same key again: {again}")
        check("key" not in again, f"a key that was given is not told again: {again}")
    run.finish(server)


@test
def stock_is_asked_for_by_sku(run):
    server = run.serve()
    text = ("sku.put sku=7 price=1 currency=USD\nstock.adjust sku=7 warehouse=2 delta=5\n"
            "stock.get item=7 item=7/2\nstock.get sku=7 sku=7/2\n")
    by_item, by_sku = objects(shell(run, server, text, "--json"))[2:]
    del by_item["line"], by_sku["line"]
    check_equal(by_sku, by_item, "the answer by sku")
    check_equal([row["on_hand"] for row in by_sku["stocks"]], [5, 5], "on_hand")
    run.finish(server)


@test
def arrays_are_plural_in_answers_and_in_the_log(run):
    server = run.serve()
    text = """sku.put sku=7 price=10 currency=USD
stock.adjust sku=7 warehouse=1 delta=9
order.place order=1 customer=1 line=7x2@10
order.get order=1
order.history order=1
stock.set sku=7 warehouse=1 expected=9 on_hand=1 flags=ALLOW_DEFICIT
tables
"""
    answers = objects(shell(run, server, text, "--json"))
    arrays = [name for answer in answers for name, value in answer.items()
              if isinstance(value, list)]
    check_equal(arrays, ["orders", "takes", "pieces", "steps", "orders", "tables"], "the arrays")
    check_equal(answers[5]["orders"], [{"order": "1"}], "orders that a deficit concerns")
    server.stop_clean()
    log = [json.loads(line) for line in run.till("log", server.folder).stdout.splitlines()]
    check_equal(log[2]["lines"][0]["sku"], 7, "lines in the log")


@test
def lines_are_sent_without_waiting_for_answers_and_answered_in_order(run):
    count = 300
    with ScriptedServer() as server, piped(run, server.address) as process:
        say(process, "".join(f"order.cancel order={order}\n" for order in range(1, count + 1)))
        server.accept()
        requests = server.requests(count)
        check_equal([request.body["order"] for request in requests], list(range(1, count + 1)),
                    "orders of the requests")
        for request in requests:
            server.answer(request, state=8, version=2)
        orders = [re.search(r" order=(\d+) ", process.stdout.readline())[1] for _ in requests]
        check_equal(orders, [str(order) for order in range(1, count + 1)], "orders of the answers")
        say(process, "quit\n")
        check_equal(process.wait(30), 0, "the exit code")


@test
def a_person_gets_each_answer_before_the_next_prompt(run):
    person, terminal = pty.openpty()
    with ScriptedServer() as server, subprocess.Popen(
            [run.binary, "shell", "--connect", server.address], stdin=terminal, stdout=terminal,
            stderr=terminal) as process:
        os.close(terminal)
        os.write(person, b"order.cancel order=1\norder.cancel order=2\nquit\n")
        server.accept()
        for order in (1, 2):
            request = server.request()
            check_equal(request.body["order"], order, "the order of the line")
            server.check_quiet()
            server.answer(request, state=8, version=2)
        said = b""
        with contextlib.suppress(OSError):
            while data := os.read(person, 65536):
                said += data
        os.close(person)
        check_equal(process.wait(30), 0, "the exit code")
    said = said.decode()
    check_equal(said.count("till> "), 3, f"prompts in {said!r}")
    check(said.index("order=1 state") < said.index("order=2 state"), f"answers in {said!r}")


@test
def no_more_is_in_flight_than_the_server_takes(run):
    with ScriptedServer() as server, piped(run, server.address) as process:
        say(process, "stats\n" * 9)
        server.accept(in_flight_max=4)
        waiting = server.requests(4)
        server.check_quiet()
        for left in (5, 4, 3, 2, 1, 0, 0, 0, 0):
            server.answer(waiting.pop(0))
            process.stdout.readline()
            if left > 0:
                waiting.append(server.request())
        server.check_quiet()


@test
def large_answers_are_asked_for_a_few_at_a_time(run):
    """The replies in flight fit the socket's buffers, however slowly the shell's output is read, so
    that the server never treats the shell as a slow reader."""
    with ScriptedServer() as server, piped(run, server.address) as process:
        say(process, "".join(f"order.get order={order}\n" for order in range(1, 101)))
        server.accept()
        server.requests(64 * 1024 // 5120)
        while server.received:
            server.request()
        server.check_quiet()
        check(process.poll() is None, "the shell waits")


@test
def answers_do_not_wait_for_more_input(run):
    server = run.serve()
    with piped(run, "%s:%d" % server.address, "--json") as process:
        for line in range(1, 6):
            say(process, "stats\n")
            check_equal(json.loads(process.stdout.readline())["line"], line, "the line's number")
        say(process, "help stats\nstat")
        check_equal(json.loads(process.stdout.readline())["line"], 6, "the line's number")
        say(process, "s\n")
        check_equal(json.loads(process.stdout.readline())["line"], 7, "the line's number")
        say(process, "stats")
        process.stdin.close()
        check_equal(json.loads(process.stdout.readline())["line"], 8, "a last line without its end")
        check_equal(process.wait(30), 0, "the exit code")
    run.finish(server)


def break_off(run, *arguments):
    """A connection that ends when the first of four lines is answered."""
    text = ("order.cancel order=1\norder.cancel order=2\n# comment\n"
            "order.cancel key=5 order=3\norder.get order=4\n")
    with ScriptedServer() as server, piped(run, server.address, *arguments) as process:
        say(process, text)
        server.accept()
        requests = server.requests(4)
        server.answer(requests[0], state=8, version=2)
        server.connection.close()
        stdout, stderr = process.communicate(timeout=30)
        return requests, process.returncode, stdout.splitlines(), stderr


@test
def broken_connection_names_the_lines_without_an_answer(run):
    requests, code, lines, stderr = break_off(run)
    check_equal(code, 1, "the exit code")
    check_equal(len(lines), 1, "answers")
    check("the server closed the connection" in stderr, f"what happened: {stderr}")
    made_up = UUID.search(stderr)
    check(made_up and int(made_up[0].replace("-", ""), 16) == requests[1].body["key"],
          f"the made-up key is told: {stderr}")
    for number, name in ((2, "order.cancel"), (4, "order.cancel"), (5, "order.get")):
        check(re.search(rf"line {number}: no answer: {name}", stderr), f"line {number}: {stderr}")
    check("line 1:" not in stderr, f"line 1 has its answer: {stderr}")

    requests, code, lines, stderr = break_off(run, "--json")
    check_equal(code, 1, "the exit code")
    answers = [json.loads(line) for line in lines]
    check_equal([(answer["line"], answer["outcome"]) for answer in answers],
                [(1, "OK"), (2, "UNANSWERED"), (4, "UNANSWERED"), (5, "UNANSWERED")], "outcomes")
    check_equal(int(answers[1]["key"].replace("-", ""), 16), requests[1].body["key"], "the key")
    check_equal(answers[2]["key"], "5", "a key that was given")
    check("the server closed" in answers[1]["reason"], f"the reason: {answers[1]}")


@test
def answers_that_came_before_a_connection_broke_are_not_lost(run):
    """Many lines are still to be sent when the server answers some and goes."""
    with ScriptedServer() as server, piped(run, server.address, "--json") as process:
        server.accept()
        say(process, "stats\n" * 3)
        requests = server.requests(3)
        for request in requests:
            server.answer(request)
        server.connection.close()
        with contextlib.suppress(BrokenPipeError):
            say(process, "stats\n" * 5000)
            process.stdin.close()
        process.wait(30)
        answers = [json.loads(line) for line in process.stdout]
        check_equal([answer["outcome"] for answer in answers[:3]], ["OK"] * 3, "the first three")
        check(all(answer["outcome"] == "UNANSWERED" for answer in answers[3:]), "the others")
        check_equal([answer["line"] for answer in answers], list(range(1, len(answers) + 1)),
                    "lines")


@test
def lines_that_are_too_long_are_refused_and_the_next_is_read(run):
    server = run.serve()
    text = "stats\n" + "x" * 200_000 + "\nstats\n" + "y" * 70_000
    result = shell(run, server, text, "--json")
    check_equal([(answer["line"], answer["outcome"]) for answer in objects(result)],
                [(1, "OK"), (2, "REFUSED"), (3, "OK"), (4, "REFUSED")], "outcomes")
    check("65536" in result.stderr, f"the bound is told: {result.stderr}")
    run.finish(server)


@test
def help_tells_what_a_program_must_know(run):
    text = run.till("shell", "--help").stdout
    for word in ("--json", "--fail", "REFUSED", "UNANSWERED", "key", "stock.get sku=7"):
        check(word in text, f"till shell --help tells of {word}")


@test
def folder_is_asked_line_by_line_as_well(run):
    server = run.serve()
    shell(run, server, "sku.put sku=7 price=10 currency=USD\n")
    server.stop_clean()
    result = run.till_with_input("stock.get sku=7\nsku.put sku=8 price=1 currency=USD\nstats\n",
                                 "shell", "--json", "--data", server.folder)
    check_equal([(answer["line"], answer["outcome"]) for answer in objects(result)],
                [(1, "OK"), (2, "REFUSED"), (3, "OK")], "outcomes")


harness.main()
