/* Which addresses only this machine can reach. Names are tested with a hosts file of their own, in
 * tests/python/test_addresses.py. */
#include "cli/listen.h"

#include <string.h>

#include "tests/test.h"

static struct listen look(const char *text)
{
    struct address address;
    struct listen listen;
    CHECK(address_split(&address, text));
    listen_look(&listen, &address);
    return listen;
}

TEST(loopback_addresses_are_inside_however_they_are_written)
{
    static const char *const cases[][2] = {
        {"127.0.0.1:7411", "127.0.0.1:7411"},
        {"127.8.9.1:1", "127.8.9.1:1"},
        {"127.1:0", "127.0.0.1:0"},
        {"0x7f000001:65535", "127.0.0.1:65535"},
        {"[::1]:7411", "[::1]:7411"},
        {"[0:0::1]:7411", "[::1]:7411"},
        {"[::ffff:127.0.0.1]:7411", "[::ffff:127.0.0.1]:7411"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct listen listen = look(cases[i][0]);
        CHECK_EQUAL(listen.verdict, LISTEN_INSIDE);
        CHECK(strcmp(listen.address, cases[i][1]) == 0);
    }
}

TEST(other_addresses_are_outside_however_they_are_written)
{
    static const char *const cases[] = {
        ":7411",          "0.0.0.0:7411",           "0:7411",         "[::]:7411",
        "10.0.0.1:7411",  "128.0.0.1:7411",         "192.0.2.1:7411", "[2001:db8::1]:1",
        "[fe80::1]:7411", "[::ffff:10.0.0.1]:7411", "[::2]:7411",     "[::127.0.0.1]:7411",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct listen listen = look(cases[i]);
        CHECK_EQUAL(listen.verdict, LISTEN_OUTSIDE);
        CHECK(listen.error[0] != '\0');
    }
    CHECK(strstr(look(":7411").error, "every interface") != NULL);
    CHECK(strstr(look("192.0.2.1:7411").error, "192.0.2.1") != NULL);
}

TEST(a_name_without_an_address_is_unknown)
{
    struct listen unknown = look("no-such-name.invalid:7411");
    CHECK_EQUAL(unknown.verdict, LISTEN_UNKNOWN);
    CHECK(unknown.error[0] != '\0');
}
