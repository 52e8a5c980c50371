/* The plot as a file: complete, well-formed, and without a NaN or an infinity. */
#include "bench/plot.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

enum { SLOTS = 40, TEXT_SIZE = 1 << 20 };

static void fill(struct clients *clients, uint32_t requests)
{
    *clients = (struct clients){.options = {.connections = 4, .threads = 1},
                                .slots = calloc(SLOTS + 1, sizeof(struct histogram)),
                                .slot_count = SLOTS,
                                .slot_used = SLOTS,
                                .slot_ns = 50 * 1000 * 1000,
                                .seconds = 2,
                                .requests = requests,
                                .orders = requests};
    for (uint32_t i = 0; i < requests; i++)
        histogram_record(&clients->slots[test_random_below(SLOTS)],
                         test_random() >> (30 + test_random_below(30)));
    for (uint32_t i = 0; i < SLOTS; i++)
        histogram_add(&clients->latency, &clients->slots[i]);
}

/* Draws into the test's folder and reads the file back. */
static char *draw(const struct figures *figures)
{
    char path[512];
    char *text = calloc(1, TEXT_SIZE);
    snprintf(path, sizeof path, "%s/plot.svg", test_folder());
    CHECK(plot_write(path, figures));
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK(fread(text, 1, TEXT_SIZE - 1, file) > 0);
    fclose(file);
    strcat(path, ".partial");
    CHECK(access(path, F_OK) != 0);
    return text;
}

static uint32_t count_of(const char *text, const char *part)
{
    uint32_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

TEST(plot_is_whole_and_has_only_numbers_whatever_was_measured)
{
    const uint32_t requests[] = {0, 1, 2, 100, 200000};
    struct workload workload = {.options = {.name = "hot"}};
    for (uint32_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        static struct clients clients;
        fill(&clients, requests[i]);
        const struct figures figures = {.clients = &clients,
                                        .workload = &workload,
                                        .machine = {.kernel = "a <kernel> & more", .flush_us = 12},
                                        .audit = ""};
        char *text = draw(&figures);
        CHECK(strncmp(text, "<svg", 4) == 0);
        CHECK(strcmp(text + strlen(text) - 7, "</svg>\n") == 0);
        CHECK(strstr(text, "nan") == NULL && strstr(text, "inf") == NULL);
        CHECK_EQUAL(count_of(text, "<text"), count_of(text, "</text>"));
        CHECK(strstr(text, "<kernel>") == NULL);
        CHECK_EQUAL(count_of(text, "<polyline"), requests[i] != 0 ? 5 : 0);
        free(text);
        free(clients.slots);
    }
}

TEST(plot_that_cannot_be_written_says_so)
{
    static struct clients clients;
    struct workload workload = {.options = {.name = "hot"}};
    const struct figures figures = {.clients = &clients, .workload = &workload, .audit = ""};
    CHECK(!plot_write("/nowhere/at/all.svg", &figures));
}
