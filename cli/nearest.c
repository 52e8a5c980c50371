/* The distance of two names is the optimal string alignment distance: how many letters must be
 * inserted, removed, replaced or swapped with their neighbour. It is computed row by row, and only
 * the last three rows are kept. A name is near when at most about a third of the typed letters
 * would have to change, or when the typed text is its beginning. */
#include "cli/nearest.h"

#include <string.h>

enum { NAME_SIZE_MAX = 32, BEGINNING_SIZE_MIN = 3 };

static char letter(char c)
{
    return c == '_' ? '-' : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][NAME_SIZE_MAX + 1];
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            char x = letter(a[i - 1]), y = letter(b[j - 1]);
            row[j] = least(above[j - 1] + (x != y), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == letter(b[j - 2]) && letter(a[i - 2]) == y)
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

static size_t common_size(const char *a, size_t a_size, const char *b)
{
    size_t size = 0;
    while (size < a_size && b[size] != '\0' && letter(a[size]) == letter(b[size]))
        size++;
    return size;
}

struct nearest nearest_to(const char *typed, size_t size)
{
    return (struct nearest){.typed = typed, .size = size, .distance = size / 3 + 2};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t size = strlen(name);
    if (size > NAME_SIZE_MAX || nearest->size > NAME_SIZE_MAX || nearest->size == 0)
        return;
    size_t far = distance(nearest->typed, nearest->size, name, size);
    /* A text that is the beginning of a name counts as if one letter were wrong. */
    if (nearest->size >= BEGINNING_SIZE_MIN &&
        common_size(nearest->typed, nearest->size, name) == nearest->size)
        far = least(far, 1);
    if (far < nearest->distance && far < nearest->size) {
        nearest->distance = far;
        nearest->name = name;
    }
}
