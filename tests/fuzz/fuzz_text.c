/* Text that a person may type, a file may contain and a server may answer: each line of the input
 * is read as a request; an accepted one is well-formed, and can be written. The bytes after an
 * accepted line are used as the body of its reply. The whole input is also read as CSV.
 *
 * The fuzzer does not find the names of messages and fields by itself: a custom mutation inserts
 * words of the tables. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/csv.h"
#include "cli/text.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_SIZE_MAX = 16384, WORD_SIZE = 64 };

#define NOW_US (1700000000 * US_PER_SECOND)

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed);

static FILE *nowhere;

static void read_csv(const uint8_t *bytes, size_t size)
{
    struct csv_reader reader;
    struct csv_record record;
    enum csv_read read;
    uint64_t line = 0;
    char *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    csv_init(&reader, copy, size);
    while ((read = csv_next(&reader, &record)) != CSV_END) {
        TILL_ASSERT(record.line > line && reader.cursor <= copy + size);
        line = record.line;
        for (uint32_t i = 0; read == CSV_RECORD && i < record.field_count; i++) {
            const struct csv_field *field = &record.fields[i];
            TILL_ASSERT(field->bytes >= copy && field->bytes + field->size <= copy + size);
        }
    }
    free(copy);
}

/* Prints the rest of the input as the reply to a request, with the outcome that its first byte
 * gives. */
static void write_reply(const struct text_request *request, struct input rest)
{
    static uint64_t body[INPUT_SIZE_MAX / 8];
    struct text_reply reply = {.message = request->message, .request = request->body, .body = body};
    reply.outcome = input_byte(&rest);
    reply.size = input_left(&rest);
    memcpy(body, rest.cursor, reply.size);
    text_write_reply(nowhere, VALUE_TEXT, &reply);
    text_write_reply(nowhere, VALUE_JSON, &reply);
}

static void read_line(const uint8_t *line, size_t size, struct input rest)
{
    static struct text_request request;
    char error[TEXT_ERROR_SIZE];
    const char *reason = NULL;
    struct id key = {.low = 7};
    error[0] = '\0';
    if (!text_read((const char *)line, size, NOW_US, key, &request, error)) {
        TILL_ASSERT(memchr(error, '\0', sizeof error) != NULL && error[0] != '\0');
        return;
    }
    TILL_ASSERT(message_check_request(request.message, request.body, request.size, &reason));
    text_write_request(nowhere, VALUE_JSON, request.message, request.body);
    text_write_request(nowhere, VALUE_TEXT, request.message, request.body);
    write_reply(&request, rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > INPUT_SIZE_MAX)
        return -1;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    struct input input = input_init(bytes, size);
    read_csv(bytes, size);
    while (input_left(&input) > 0) {
        const uint8_t *line = input.cursor;
        const uint8_t *end = memchr(line, '\n', input_left(&input));
        input.cursor = end == NULL ? input.end : end + 1;
        read_line(line, (size_t)((end == NULL ? input.end : end) - line), input);
    }
    return 0;
}

/* A word that may occur in a line: a message, a field or a row of one, or a named value. */
static int table_word(unsigned seed, char word[WORD_SIZE])
{
    size_t count;
    const struct named_value_info *values = named_values(&count);
    const struct message_info *message = message_info(seed % (MESSAGE_NUMBER_MAX + 1));
    seed /= MESSAGE_NUMBER_MAX + 1;
    if (message == NULL)
        return snprintf(word, WORD_SIZE, "%s", values[seed % count].name);
    if (seed % 3 == 0)
        return snprintf(word, WORD_SIZE, "\n%s ", message->name);
    const struct field_info *field =
        &message->request->fields[seed / 3 % message->request->field_count];
    if (field->type == FIELD_count)
        return snprintf(word, WORD_SIZE, " %.*s=1x2/3@4",
                        (int)(strlen(field->name) - strlen("_count")), field->name);
    return snprintf(word, WORD_SIZE, " %s=1", field->name);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed)
{
    char word[WORD_SIZE];
    size_t length = (size_t)table_word(seed / 3, word);
    if (seed % 3 != 0 || size + length > size_max)
        return LLVMFuzzerMutate(bytes, size, size_max);
    size_t place = seed / 1024 % (size + 1);
    memmove(bytes + place + length, bytes + place, size - place);
    memcpy(bytes + place, word, length);
    return size + length;
}
