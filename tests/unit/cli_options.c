/* Options by name and value, as a file would give them, and the conditions that every row must
 * fulfil. */
#include "cli/options.h"

#include <string.h>

#include "base/limits.h"
#include "bench/options.h"
#include "cli/commands.h"
#include "engine/tables.h"
#include "tests/test.h"

static const struct option_table *const tables[] = {
    &serve_table,   &load_table, &shell_table,  &snapshot_table, &backup_table,
    &restore_table, &log_table,  &verify_table, &protocol_table, &demo_table,
    &bench_table,   &soak_table, &limit_table,  &peer_table,
};

enum { TABLE_COUNT = sizeof tables / sizeof tables[0], VALUES_SIZE = 1024 };

/* Padding is compared too: both were made from zeroed memory or copied whole. */
static bool bytes_are_equal(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

/* Setting the option is refused, with an error message that contains both parts. */
static bool is_refused(struct serve_options *options, const char *name, const char *value,
                       const char *part, const char *other_part)
{
    char error[OPTION_ERROR_SIZE] = "";
    const struct serve_options before = *options;
    return !option_set(&serve_table, options, name, value, error) &&
           bytes_are_equal(options, &before, sizeof before) && strstr(error, part) != NULL &&
           strstr(error, other_part) != NULL;
}

TEST(options_are_set_by_name_and_value)
{
    struct serve_options options;
    char error[OPTION_ERROR_SIZE];
    options_init(&serve_table, &options);
    CHECK(strcmp(options.data, "till-data") == 0 && options.connections == 16 << 10);
    CHECK(option_set(&serve_table, &options, "data", "elsewhere", error));
    CHECK(option_set(&serve_table, &options, "connections", "2k", error));
    CHECK(option_set(&serve_table, &options, "log-writes", "3", error));
    CHECK(option_set(&serve_table, &options, "point-takes", "7", error));
    CHECK(option_set(&serve_table, &options, "listen", "[::1]:80", error));
    CHECK(option_set(&serve_table, &options, "quiet", "yes", error));
    CHECK(strcmp(options.data, "elsewhere") == 0 && strcmp(options.listen, "[::1]:80") == 0);
    CHECK_EQUAL(options.connections, 2048);
    CHECK_EQUAL(options.log_writes, 3);
    CHECK_EQUAL(options.capacities.point_takes, 7);
    CHECK(options.quiet && !options.insecure);
    CHECK(option_set(&serve_table, &options, "quiet", "no", error));
    CHECK(!options.quiet);
}

TEST(a_refused_option_is_named_with_what_is_allowed)
{
    struct serve_options options;
    options_init(&serve_table, &options);
    CHECK(is_refused(&options, "connections", "0", "--connections 0", "from 1 to 65536"));
    CHECK(is_refused(&options, "log-writes", "9", "--log-writes 9", "from 1 to 8"));
    CHECK(is_refused(&options, "spin", "", "--spin", "from 0 to 1000000"));
    CHECK(is_refused(&options, "data", "", "--data", "DIR"));
    CHECK(is_refused(&options, "data", NULL, "--data", "DIR"));
    CHECK(is_refused(&options, "listen", "::1:80", "--listen ::1:80", "[ADDR]:PORT"));
    CHECK(is_refused(&options, "quiet", "maybe", "--quiet maybe", "yes or no"));
    CHECK(is_refused(&options, "conections", "1", "--conections", "did you mean --connections?"));
    CHECK(is_refused(&options, "log_writes", "1", "--log_writes", "did you mean --log-writes?"));
    CHECK(is_refused(&options, "", "1", "there is no option", "till serve --help"));
}

TEST(every_default_is_allowed_or_means_not_given)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        uint64_t values[VALUES_SIZE / sizeof(uint64_t)];
        char error[OPTION_ERROR_SIZE], name[OPTION_NAME_SIZE], text[COUNT_TEXT_SIZE];
        const struct option_table *table = tables[i];
        CHECK(table->values_size <= sizeof values);
        options_init(table, values);
        for (size_t j = 0; j < table->row_count; j++) {
            const struct option_row *row = &table->rows[j];
            const char *value = row->kind == OPTION_FLAG ? "yes" : row->text;
            if (row->kind == OPTION_COUNT) {
                CHECK(row->minimum < row->maximum);
                bool is_given = row->count >= row->minimum && row->count <= row->maximum;
                value = is_given ? count_format(row->count, text) : NULL;
            }
            if (value != NULL)
                CHECK(option_set(table, values, option_spell(row->name, name), value, error));
        }
    }
}

TEST(every_row_has_a_name_of_its_own_and_a_help)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const struct option_table *table = tables[i];
        for (size_t j = 0; j < table->row_count; j++) {
            const struct option_row *row = &table->rows[j];
            CHECK(row->name[0] != '\0');
            if (row->kind == OPTION_GROUP)
                continue;
            CHECK(strlen(row->name) < OPTION_NAME_SIZE && row->help[0] != '\0');
            CHECK((row->value == NULL) == (row->kind == OPTION_FLAG));
            for (size_t k = 0; k < j; k++)
                CHECK(strcmp(table->rows[k].name, row->name) != 0);
        }
    }
}

TEST(capacities_are_options_with_the_engine_s_defaults)
{
    size_t count = 0;
    struct serve_options options;
    const struct capacity_info *capacities = capacity_infos(&count);
    options_init(&serve_table, &options);
    CHECK(bytes_are_equal(&options.capacities, &engine_options_default, sizeof options.capacities));
    for (size_t i = 0; i < count; i++) {
        char error[OPTION_ERROR_SIZE], name[OPTION_NAME_SIZE];
        uint32_t value = 0;
        CHECK(
            option_set(&serve_table, &options, option_spell(capacities[i].name, name), "5", error));
        memcpy(&value, (const uint8_t *)&options.capacities + capacities[i].offset, sizeof value);
        CHECK_EQUAL(value, 5);
    }
}

TEST(operands_and_options_come_in_any_order)
{
    struct backup_options options;
    char name[] = "backup", rate[] = "--rate", four[] = "4", folder[] = "folder", end[] = "--";
    char data[] = "--data=from", dashed[] = "--dashed";
    char *first[] = {name, folder, rate, four, data, NULL};
    CHECK_EQUAL(options_parse(&backup_table, &options, 5, first), 1);
    CHECK(strcmp(first[1], "folder") == 0 && options.rate == 4);
    CHECK(strcmp(options.data, "from") == 0);
    char *second[] = {name, rate, four, end, dashed, NULL};
    CHECK_EQUAL(options_parse(&backup_table, &options, 5, second), 1);
    CHECK(strcmp(second[1], "--dashed") == 0 && strcmp(options.data, "till-data") == 0);
}
