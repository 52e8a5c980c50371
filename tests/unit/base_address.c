/* Which texts are valid as ADDR:PORT, and that splitting and joining again gives the same text. */
#include "base/address.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

TEST(addresses_are_split_into_host_and_port)
{
    static const char *const cases[][3] = {
        {"127.0.0.1:7411", "127.0.0.1", "7411"},
        {"localhost:0", "localhost", "0"},
        {":65535", "", "65535"},
        {"[::1]:80", "::1", "80"},
        {"[fe80::1%eth0]:80", "fe80::1%eth0", "80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        char text[ADDRESS_TEXT_SIZE];
        CHECK(address_split(&address, cases[i][0]));
        CHECK(strcmp(address.host, cases[i][1]) == 0);
        CHECK(strcmp(address.port, cases[i][2]) == 0);
        address_join(address.host, (unsigned)atoi(address.port), text);
        CHECK(strcmp(text, cases[i][0]) == 0);
    }
}

TEST(what_is_no_address_is_refused)
{
    static const char *const cases[] = {
        "",
        "7411",
        "127.0.0.1",
        "127.0.0.1:",
        "::1:80",
        "127.0.0.1:x",
        "[::1]",
        "[::1:8",
        "127.0.0.1:8 ",
        "127.0.0.1:70000",
        "127.0.0.1:+80",
        ":",
        "a:b:80",
        "[]:80",
        "a:000080",
        "[:80",
        "a:-1",
        "a:0x50",
    };
    struct address address;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(!address_split(&address, cases[i]));
}

TEST(a_host_is_as_long_as_a_name_may_be)
{
    char text[2 * ADDRESS_HOST_SIZE];
    struct address address;
    memset(text, 'a', sizeof text);
    strcpy(text + ADDRESS_HOST_SIZE - 1, ":80");
    CHECK(address_split(&address, text) && strlen(address.host) == ADDRESS_HOST_SIZE - 1);
    memset(text, 'a', sizeof text);
    strcpy(text + ADDRESS_HOST_SIZE, ":80");
    CHECK(!address_split(&address, text));
}
