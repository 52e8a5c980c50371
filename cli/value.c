/* Reading and writing values, one pair of functions per kind of type, found in one table.
 *
 * A reader gets the whole text, and refuses it unless all of it is one value of the type. Nothing
 * here rounds, clamps or guesses. */
#include "cli/value.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "cli/currency.h"

enum { SECONDS_PER_DAY = 86400, FRACTION_DIGITS = 6, YEAR_MIN = 1970, YEAR_MAX = 9999 };

/* What a reader or writer is told about the field. */
struct value_context {
    uint64_t now_us;
    unsigned type;
    unsigned size_bytes;
    enum value_form form;
};

/* A cursor over text, for the values that have parts. */
struct scanner {
    const char *cursor;
    const char *end;
};

static bool scan_char(struct scanner *scanner, char c)
{
    if (scanner->cursor == scanner->end || *scanner->cursor != c)
        return false;
    scanner->cursor++;
    return true;
}

/* One or more decimal digits. */
static bool scan_number(struct scanner *scanner, uint64_t *value)
{
    const char *start = scanner->cursor;
    *value = 0;
    while (scanner->cursor < scanner->end && isdigit((unsigned char)*scanner->cursor)) {
        uint64_t digit = (uint64_t)(*scanner->cursor++ - '0');
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, digit, value))
            return false;
    }
    return scanner->cursor > start;
}

/* Exactly so many decimal digits. */
static bool scan_digits(struct scanner *scanner, unsigned digits, uint64_t *value)
{
    struct scanner part = {scanner->cursor, scanner->cursor + digits};
    if ((size_t)(scanner->end - scanner->cursor) < digits || !scan_number(&part, value) ||
        part.cursor != part.end)
        return false;
    scanner->cursor = part.end;
    return true;
}

/* Seconds of a unit letter; 0 when it is none. */
static uint64_t unit_seconds(char unit)
{
    static const char units[] = "smhd";
    static const uint64_t seconds[] = {1, 60, 3600, SECONDS_PER_DAY};
    const char *found = strchr(units, tolower((unsigned char)unit));
    return unit != '\0' && found != NULL ? seconds[found - units] : 0;
}

/* A number of seconds, alone or with a unit. */
static bool scan_duration(struct scanner *scanner, uint64_t *seconds)
{
    if (!scan_number(scanner, seconds))
        return false;
    if (scanner->cursor == scanner->end)
        return true;
    uint64_t unit = unit_seconds(*scanner->cursor++);
    return unit != 0 && !__builtin_mul_overflow(*seconds, unit, seconds);
}

static bool read_id(const struct value_context *context, struct scanner *scanner, void *field)
{
    (void)context;
    return id_parse(scanner->cursor, (size_t)(scanner->end - scanner->cursor), field);
}

/* A key that may be left out: 0 is none. */
static bool read_key_or_none(const struct value_context *context, struct scanner *scanner,
                             void *field)
{
    struct scanner number = *scanner;
    uint64_t value = 0;
    if (!scan_number(&number, &value) || number.cursor != number.end || value != 0)
        return read_id(context, scanner, field);
    memset(field, 0, sizeof(struct id));
    return true;
}

static bool read_unsigned(const struct value_context *context, struct scanner *scanner, void *field)
{
    uint64_t value = 0;
    if (!scan_number(scanner, &value) || scanner->cursor != scanner->end)
        return false;
    if (context->size_bytes < sizeof value && value >> (8 * context->size_bytes) != 0)
        return false;
    memcpy(field, &value, context->size_bytes);
    return true;
}

static bool read_signed(const struct value_context *context, struct scanner *scanner, void *field)
{
    bool negative = scan_char(scanner, '-');
    uint64_t value = 0;
    if (!negative)
        scan_char(scanner, '+');
    if (!scan_number(scanner, &value) || scanner->cursor != scanner->end)
        return false;
    if (value > (uint64_t)INT64_MAX + negative)
        return false;
    int64_t result = (int64_t)(negative ? ~value + 1 : value);
    TILL_ASSERT(context->size_bytes == sizeof result);
    memcpy(field, &result, sizeof result);
    return true;
}

static bool read_hash(const struct value_context *context, struct scanner *scanner, void *field)
{
    (void)context;
    static const char digits[] = "0123456789abcdef";
    uint64_t value = 0;
    size_t size = (size_t)(scanner->end - scanner->cursor);
    if (size == 0 || size > 16)
        return false;
    for (; scanner->cursor < scanner->end; scanner->cursor++) {
        int c = tolower((unsigned char)*scanner->cursor);
        const char *found = c != '\0' ? strchr(digits, c) : NULL;
        if (found == NULL)
            return false;
        value = value << 4 | (uint64_t)(found - digits);
    }
    memcpy(field, &value, sizeof value);
    return true;
}

static bool read_seconds(const struct value_context *context, struct scanner *scanner, void *field)
{
    (void)context;
    uint64_t seconds = 0;
    if (!scan_duration(scanner, &seconds) || scanner->cursor != scanner->end ||
        seconds > UINT32_MAX)
        return false;
    uint32_t value = (uint32_t)seconds;
    memcpy(field, &value, sizeof value);
    return true;
}

static bool read_currency(const struct value_context *context, struct scanner *scanner, void *field)
{
    uint16_t number = 0;
    if (!currency_find(scanner->cursor, (size_t)(scanner->end - scanner->cursor), &number))
        return read_unsigned(context, scanner, field);
    memcpy(field, &number, sizeof number);
    return true;
}

static bool is_leap_year(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t days_in_month(uint64_t year, uint64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (uint64_t)(month == 2 && is_leap_year(year));
}

/* YYYY-MM-DD, as days since 1970. */
static bool scan_date(struct scanner *scanner, uint64_t *days)
{
    uint64_t year = 0;
    uint64_t month = 0;
    uint64_t day = 0;
    if (!scan_digits(scanner, 4, &year) || !scan_char(scanner, '-') ||
        !scan_digits(scanner, 2, &month) || !scan_char(scanner, '-') ||
        !scan_digits(scanner, 2, &day))
        return false;
    if (year < YEAR_MIN || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return false;
    *days = day - 1;
    for (uint64_t y = YEAR_MIN; y < year; y++)
        *days += 365 + (uint64_t)is_leap_year(y);
    for (uint64_t m = 1; m < month; m++)
        *days += days_in_month(year, m);
    return true;
}

/* HH:MM[:SS[.fraction]], as microseconds. */
static bool scan_clock(struct scanner *scanner, uint64_t *clock_us)
{
    uint64_t hours = 0;
    uint64_t minutes = 0;
    uint64_t seconds = 0;
    if (!scan_digits(scanner, 2, &hours) || !scan_char(scanner, ':') ||
        !scan_digits(scanner, 2, &minutes))
        return false;
    if (scan_char(scanner, ':') && !scan_digits(scanner, 2, &seconds))
        return false;
    if (hours > 23 || minutes > 59 || seconds > 59)
        return false;
    *clock_us = ((hours * 60 + minutes) * 60 + seconds) * US_PER_SECOND;
    if (scan_char(scanner, '.')) {
        uint64_t scale = US_PER_SECOND;
        const char *start = scanner->cursor;
        for (; scan_digits(scanner, 1, &hours) && scanner->cursor - start <= FRACTION_DIGITS;)
            *clock_us += hours * (scale /= 10);
        return scanner->cursor - start >= 1 && scanner->cursor - start <= FRACTION_DIGITS;
    }
    return true;
}

/* Z, or +HH:MM or -HH:MM: how far the clock is ahead of UTC, as microseconds. */
static bool scan_zone(struct scanner *scanner, int64_t *ahead_us)
{
    *ahead_us = 0;
    if (scan_char(scanner, 'Z') || scan_char(scanner, 'z'))
        return true;
    bool behind = scan_char(scanner, '-');
    uint64_t clock_us = 0;
    if ((!behind && !scan_char(scanner, '+')) || !scan_clock(scanner, &clock_us))
        return false;
    *ahead_us = behind ? -(int64_t)clock_us : (int64_t)clock_us;
    return true;
}

/* A date, alone or with a clock and a zone. */
static bool scan_calendar(struct scanner *scanner, uint64_t *time_us)
{
    uint64_t days = 0;
    uint64_t clock_us = 0;
    int64_t ahead_us = 0;
    if (!scan_date(scanner, &days))
        return false;
    bool has_clock = scan_char(scanner, 'T') || scan_char(scanner, 't') || scan_char(scanner, ' ');
    if (has_clock && (!scan_clock(scanner, &clock_us) || !scan_zone(scanner, &ahead_us)))
        return false;
    int64_t result = (int64_t)(days * SECONDS_PER_DAY * US_PER_SECOND + clock_us) - ahead_us;
    *time_us = (uint64_t)result;
    return result >= 0;
}

static bool read_time(const struct value_context *context, struct scanner *scanner, void *field)
{
    struct scanner calendar = *scanner;
    uint64_t time_us = 0;
    if (scan_char(scanner, '+')) {
        if (context->now_us == 0 || !scan_duration(scanner, &time_us) ||
            time_us > TIME_US_MAX / US_PER_SECOND)
            return false;
        time_us = context->now_us + time_us * US_PER_SECOND;
    } else if (scan_calendar(&calendar, &time_us)) {
        *scanner = calendar;
    } else if (!scan_number(scanner, &time_us)) {
        return false;
    }
    memcpy(field, &time_us, sizeof time_us);
    return scanner->cursor == scanner->end;
}

static bool read_bytes_of(const struct value_context *context, struct scanner *scanner, void *field)
{
    size_t size = (size_t)(scanner->end - scanner->cursor);
    if (size > context->size_bytes || memchr(scanner->cursor, '\0', size) != NULL)
        return false;
    memset(field, 0, context->size_bytes);
    memcpy(field, scanner->cursor, size);
    return true;
}

/* One name, or several of a flag type joined by +. */
static bool read_named(const struct value_context *context, struct scanner *scanner, void *field)
{
    char upper[32];
    uint16_t sum = 0;
    do {
        size_t size = 0;
        for (; scanner->cursor < scanner->end && *scanner->cursor != '+'; scanner->cursor++) {
            if (size == sizeof upper)
                return false;
            upper[size++] = (char)toupper((unsigned char)*scanner->cursor);
        }
        uint16_t value = 0;
        if (!named_value_find(context->type, upper, size, &value))
            return false;
        sum |= value;
    } while (field_type_is_flags(context->type) && scan_char(scanner, '+'));
    memcpy(field, &sum, context->size_bytes);
    return scanner->cursor == scanner->end;
}

static uint64_t load_unsigned(const struct value_context *context, const void *field)
{
    uint64_t value = 0;
    memcpy(&value, field, context->size_bytes);
    return value;
}

static void write_quoted(FILE *out, const struct value_context *context, const char *text)
{
    fprintf(out, context->form == VALUE_JSON ? "\"%s\"" : "%s", text);
}

static void write_id(FILE *out, const struct value_context *context, const void *field)
{
    char text[ID_TEXT_SIZE];
    struct id id;
    memcpy(&id, field, sizeof id);
    if (context->form == VALUE_JSON && id_is_zero(id))
        fputs("null", out);
    else
        write_quoted(out, context, id_format(id, text));
}

static void write_unsigned(FILE *out, const struct value_context *context, const void *field)
{
    fprintf(out, "%" PRIu64, load_unsigned(context, field));
}

static void write_signed(FILE *out, const struct value_context *context, const void *field)
{
    fprintf(out, "%" PRId64, (int64_t)load_unsigned(context, field));
}

static void write_hash(FILE *out, const struct value_context *context, const void *field)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, load_unsigned(context, field));
    write_quoted(out, context, text);
}

static void write_currency(FILE *out, const struct value_context *context, const void *field)
{
    uint64_t number = load_unsigned(context, field);
    const char *letters = currency_letters((uint16_t)number);
    if (letters != NULL)
        write_quoted(out, context, letters);
    else if (context->form == VALUE_JSON && number == 0)
        fputs("null", out);
    else
        fprintf(out, "%" PRIu64, number);
}

/* Zero means no time, and a time beyond the calendar has no date: both are written as numbers. */
static void write_time(FILE *out, const struct value_context *context, const void *field)
{
    uint64_t time_us = load_unsigned(context, field);
    uint64_t days = time_us / (SECONDS_PER_DAY * US_PER_SECOND);
    uint64_t seconds = time_us / US_PER_SECOND % SECONDS_PER_DAY;
    uint64_t fraction = time_us % US_PER_SECOND;
    uint64_t year = YEAR_MIN;
    uint64_t month = 1;
    bool has_date = time_us != 0 && days / 366 <= YEAR_MAX - YEAR_MIN;
    if (context->form == VALUE_JSON || !has_date) {
        fprintf(out, "%" PRIu64, time_us);
        return;
    }
    for (; days >= 365 + (uint64_t)is_leap_year(year); year++)
        days -= 365 + (uint64_t)is_leap_year(year);
    for (; days >= days_in_month(year, month); month++)
        days -= days_in_month(year, month);
    fprintf(out, "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
            year, month, days + 1, seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (fraction != 0)
        fprintf(out, ".%06" PRIu64, fraction);
    fputc('Z', out);
}

static void write_bytes_of(FILE *out, const struct value_context *context, const void *field)
{
    value_write_string(out, context->form, field, strnlen(field, context->size_bytes));
}

static void write_named(FILE *out, const struct value_context *context, const void *field)
{
    uint64_t value = load_unsigned(context, field);
    const char *name = named_value_name(context->type, value);
    if (name != NULL) {
        write_quoted(out, context, name);
        return;
    }
    if (!field_type_is_flags(context->type)) {
        fprintf(out, "%" PRIu64, value);
        return;
    }
    const char *mark = context->form == VALUE_JSON ? "\"" : "";
    const char *joint = "";
    fputs(mark, out);
    for (unsigned bit = 0; bit < 8 * context->size_bytes; bit++) {
        name = named_value_name(context->type, value & 1ULL << bit);
        if ((value >> bit & 1) != 0 && name != NULL) {
            fprintf(out, "%s%s", joint, name);
            joint = "+";
        }
    }
    fputs(mark, out);
}

struct value_kind {
    bool (*read)(const struct value_context *context, struct scanner *scanner, void *field);
    void (*write)(FILE *out, const struct value_context *context, const void *field);
    const char *expected; /* NULL: value_expected composes it */
};

static const struct value_kind kind_id = {read_id, write_id,
                                          "a number above zero, a UUID, or 32 hexadecimal digits"};
static const struct value_kind kind_key_or_none = {
    read_key_or_none, write_id, "a number, a UUID, or 32 hexadecimal digits; 0 for none"};
static const struct value_kind kind_cursor = {read_key_or_none, write_id,
                                              "what an answer told as `next`; 0: the first page"};
static const struct value_kind kind_unsigned = {read_unsigned, write_unsigned, NULL};
static const struct value_kind kind_signed = {read_signed, write_signed,
                                              "a whole number, negative ones with -"};
static const struct value_kind kind_named = {read_named, write_named, NULL};
static const struct value_kind kind_bytes = {read_bytes_of, write_bytes_of, NULL};
static const struct value_kind kind_hash = {read_hash, write_hash, "1 to 16 hexadecimal digits"};
static const struct value_kind kind_currency = {read_currency, write_currency,
                                                "the letters or the number of ISO 4217"};
static const struct value_kind kind_seconds = {read_seconds, write_unsigned,
                                               "seconds, or a number with s, m, h or d, as in 15m"};
static const struct value_kind kind_time = {
    read_time, write_time,
    "microseconds since 1970, 2026-12-31, 2026-12-31T10:00:00Z, or +30s, +5m, +2h, +7d from now"};

static bool is_named(unsigned type)
{
    return false
#define NAMED(named_type, number, NAME) || type == FIELD_##named_type
#include "engine/tables/fields.h"
        ;
}

/* The kinds of the types that their coding does not tell. */
static const struct value_kind *const special_kinds[FIELD_TYPE_COUNT] = {
    [FIELD_key_or_none] = &kind_key_or_none,
    [FIELD_cursor] = &kind_cursor,
    [FIELD_hash] = &kind_hash,
    [FIELD_time] = &kind_time,
    [FIELD_seconds] = &kind_seconds,
    [FIELD_currency] = &kind_currency,
};

static const struct value_kind *kind_of(unsigned type)
{
    static const struct value_kind *const by_coding[] = {
        [CODING_IDENTITY] = &kind_id,   [CODING_UNSIGNED] = &kind_unsigned,
        [CODING_SIGNED] = &kind_signed, [CODING_BYTES] = &kind_bytes,
        [CODING_ZERO] = &kind_unsigned,
    };
    if (special_kinds[type] != NULL)
        return special_kinds[type];
    return is_named(type) ? &kind_named : by_coding[field_type_info(type)->coding];
}

bool value_read(unsigned type, const char *text, size_t size, uint64_t now_us, void *field)
{
    struct value_context context = {
        .now_us = now_us, .type = type, .size_bytes = field_type_info(type)->size_bytes};
    struct scanner scanner = {text, text + size};
    return kind_of(type)->read(&context, &scanner, field);
}

static void append(char text[VALUE_EXPECTED_SIZE], const char *more)
{
    size_t size = strlen(text);
    snprintf(text + size, VALUE_EXPECTED_SIZE - size, "%s", more);
}

char *value_expected(unsigned type, char text[VALUE_EXPECTED_SIZE])
{
    const struct value_kind *kind = kind_of(type);
    unsigned size_bytes = field_type_info(type)->size_bytes;
    text[0] = '\0';
    if (kind->expected != NULL) {
        append(text, kind->expected);
    } else if (kind == &kind_bytes) {
        snprintf(text, VALUE_EXPECTED_SIZE, "up to %u bytes, in quotes if there are spaces",
                 size_bytes);
    } else if (kind == &kind_unsigned) {
        snprintf(text, VALUE_EXPECTED_SIZE, "a number from 0 to %" PRIu64,
                 UINT64_MAX >> (64 - 8 * size_bytes));
    } else {
        size_t count = 0;
        const struct named_value_info *values = named_values(&count);
        bool flags = field_type_is_flags(type);
        for (size_t i = 0; i < count; i++) {
            if (values[i].type != type)
                continue;
            append(text, text[0] == '\0' ? "" : flags ? "+" : " or ");
            append(text, values[i].name);
        }
        append(text, flags ? ", or some of them" : "");
    }
    return text;
}

bool value_is_hidden(unsigned type)
{
    return type == FIELD_count || field_type_info(type)->coding == CODING_ZERO;
}

bool value_is_required(unsigned type)
{
    return is_named(type) && !field_type_is_flags(type) && named_value_name(type, 0) == NULL;
}

bool value_is_zero(unsigned type, const void *field)
{
    static const uint8_t zeros[sizeof(struct text)];
    return memcmp(field, zeros, field_type_info(type)->size_bytes) == 0;
}

void value_write(FILE *out, enum value_form form, unsigned type, const void *field)
{
    struct value_context context = {
        .type = type, .size_bytes = field_type_info(type)->size_bytes, .form = form};
    kind_of(type)->write(out, &context, field);
}

/* The size of the well-formed UTF-8 sequence at the start of bytes; 0 when there is none. */
static size_t utf8_size(const unsigned char *bytes, size_t size)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = bytes[0] < 0x80             ? 1
                   : (bytes[0] & 0xe0) == 0xc0 ? 2
                   : (bytes[0] & 0xf0) == 0xe0 ? 3
                   : (bytes[0] & 0xf8) == 0xf0 ? 4
                                               : 0;
    if (count <= 1 || count > size)
        return count <= size ? count : 0;
    uint32_t point = bytes[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3fu);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < smallest[count] || point > 0x10ffff || surrogate ? 0 : count;
}

static bool needs_quotes(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)bytes[i] <= ' ' || strchr("\"\\#\x7f", bytes[i]) != NULL)
            return true;
    }
    return size == 0;
}

/* Both forms escape the same characters; JSON must be UTF-8, so there a byte that is part of no
 * sequence is written as the code point of its number. */
void value_write_string(FILE *out, enum value_form form, const char *bytes, size_t size)
{
    bool json = form == VALUE_JSON;
    if (json && size == 0) {
        fputs("null", out);
        return;
    }
    if (!json && !needs_quotes(bytes, size)) {
        fwrite(bytes, 1, size, out);
        return;
    }
    fputc('"', out);
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)bytes[i];
        size_t count = utf8_size((const unsigned char *)bytes + i, size - i);
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f || count == 0)
            fprintf(out, json ? "\\u%04x" : "\\x%02x", c);
        else
            fwrite(bytes + i, 1, count, out);
        i += count > 0 ? count : 1;
    }
    fputc('"', out);
}
