"""Where the server listens: on this machine alone, unless it is told otherwise, judged by the
addresses that a name resolves to and not by the name itself."""

import harness
from harness import check, check_equal, test

HOSTS = """
127.0.0.1 inside
127.8.9.1 inside
::1 inside6
192.0.2.9 outside
127.0.0.1 partly
192.0.2.9 partly
"""


def with_hosts(run):
    """The command prefix that gives a command this hosts file."""
    path = run.root / "hosts"
    path.write_text(HOSTS)
    mount = f"mount --bind '{path}' /etc/hosts && exec \"$@\""
    return (*harness.mounting(), "sh", "-c", mount, "-")


def refused(run, listen, *options, prefix=()):
    folder = run.folder()
    result = run.till("serve", "--data", folder, "--listen", listen, *options, prefix=prefix)
    check("listening" not in result.stdout, f"--listen {listen} does not listen")
    check(not folder.exists(), "nothing was tried")
    return result


@test
def addresses_that_others_reach_are_refused(run):
    for listen, words in ((":0", "0.0.0.0"), ("0:0", "0.0.0.0"), ("0.0.0.0:0", "0.0.0.0"),
                          ("[::]:0", "::"), ("192.0.2.9:0", "192.0.2.9"),
                          ("[2001:db8::9]:0", "2001:db8::9")):
        result = refused(run, listen)
        check_equal(result.returncode, 2, f"the exit code of --listen {listen}")
        for word in (f"--listen {listen}", words, "--insecure", "no users and no encryption"):
            check(word in result.stderr, f"{word!r} is said: {result.stderr}")


@test
def names_are_judged_by_all_their_addresses(run):
    hosts = with_hosts(run)
    for name, address in (("outside", "192.0.2.9"), ("partly", "192.0.2.9")):
        result = refused(run, f"{name}:0", prefix=hosts)
        check_equal(result.returncode, 2, f"the exit code of --listen {name}:0")
        check(address in result.stderr, f"{name}: {result.stderr}")
    for name, address in (("inside", "127.0.0.1"), ("127.1", "127.0.0.1")):
        server = run.serve(options=("--listen", f"{name}:0"), prefix=hosts)
        check_equal(server.address[0], address, f"where {name} is")
        run.finish(server)


@test
def a_name_without_an_address_is_told(run):
    result = refused(run, "no-such-name.invalid:0")
    check_equal(result.returncode, 1, "the exit code")
    check("no-such-name.invalid" in result.stderr, result.stderr)


@test
def insecure_listens_everywhere_and_says_so(run):
    server = run.serve(options=("--listen", ":0", "--insecure"))
    check("every interface" in server.errors(), f"it is said: {server.errors()}")
    server.address = ("127.0.0.1", server.address[1])
    with server.client() as client:
        check_equal(client.call("stats").outcome, "OK", "stats")
    run.finish(server)
    server = run.serve(options=("--insecure",))
    check("insecure" not in server.errors(), f"nothing is said of loopback: {server.errors()}")
    run.finish(server)


if __name__ == "__main__":
    harness.main()
