/* The plot: an SVG file of three panels, written line by line.
 *
 * A panel maps values to places: along x linearly, along y linearly from zero or by the logarithm.
 * Latency by percentile has 1 / (1 - p) along x, by its logarithm: each further nine takes the same
 * room, so that the tail is to be seen. A line over time has one point for each stretch that the
 * clients recorded. The file appears whole under its name or not at all. */
#include "bench/plot.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INK   "#1f2933"
#define FAINT "#7b8794"
#define GRID  "#e4e7eb"
#define BLUE  "#2563eb"
#define GREEN "#0f9d76"
#define AMBER "#d97706"
#define RED   "#dc2626"

enum { WIDTH = 960, HEIGHT = 1010, LEFT = 96, RIGHT = 40, CURVE_POINTS = 500, PATH_SIZE = 4096 };

struct panel {
    FILE *out;
    double top;
    double height;
    double x_min, x_max;
    double y_min, y_max;
    bool is_log; /* along y */
};

static double place_x(const struct panel *panel, double value)
{
    double share = (value - panel->x_min) / (panel->x_max - panel->x_min);
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct panel *panel, double value)
{
    double share = (value - panel->y_min) / (panel->y_max - panel->y_min);
    if (panel->is_log) {
        value = value > panel->y_min ? value : panel->y_min;
        share = log(value / panel->y_min) / log(panel->y_max / panel->y_min);
    }
    return panel->top + panel->height * (1 - share);
}

/* Text with what XML would misread replaced. */
__attribute__((format(printf, 7, 8))) static void put_text(FILE *out, double x, double y,
                                                           const char *anchor, int size,
                                                           const char *color, const char *format,
                                                           ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\" fill=\"%s\">", x,
            y, anchor, size, color);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '&' || *c == '<' || *c == '>')
            fprintf(out, "&#%d;", *c);
        else
            fputc(*c, out);
    }
    fprintf(out, "</text>\n");
}

static void put_line(FILE *out, double x1, double y1, double x2, double y2, const char *color)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1,
            x2, y2, color);
}

/* 1, 2 or 5 times a power of ten: the largest that is not above value. */
static double round_down(double value)
{
    double power = pow(10, floor(log10(value) + 1e-9));
    double digit = value / power + 1e-9;
    return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

static double round_up(double value)
{
    double below = round_down(value);
    if (below >= value * (1 - 1e-9))
        return below;
    double digit = below / pow(10, floor(log10(below) + 1e-9));
    return below * (digit > 1.5 && digit < 3 ? 2.5 : 2);
}

/* 20 us, 1.5 ms, 2 s. */
static const char *format_us(double us, char text[24])
{
    double value = us < 1000 ? us : us < 1e6 ? us / 1000 : us / 1e6;
    snprintf(text, 24, "%.3g %s", value, us < 1000 ? "µs" : us < 1e6 ? "ms" : "s");
    return text;
}

static const char *format_rate(double rate, char text[24])
{
    double value = rate < 1000 ? rate : rate < 1e6 ? rate / 1000 : rate / 1e6;
    snprintf(text, 24, "%.3g%s", value, rate < 1000 ? "" : rate < 1e6 ? " k" : " M");
    return text;
}

static void put_heading(const struct panel *panel, const char *title, const char *x_title)
{
    put_text(panel->out, LEFT, panel->top - 16, "start", 15, INK, "%s", title);
    put_text(panel->out, WIDTH - RIGHT, panel->top + panel->height + 40, "end", 12, FAINT, "%s",
             x_title);
}

static void put_y_tick(const struct panel *panel, double value, const char *text)
{
    double y = place_y(panel, value);
    put_line(panel->out, LEFT, y, WIDTH - RIGHT, y, GRID);
    put_text(panel->out, LEFT - 10, y + 4, "end", 12, FAINT, "%s", text);
}

static void put_x_tick(const struct panel *panel, double value, const char *text)
{
    double x = place_x(panel, value), bottom = panel->top + panel->height;
    put_line(panel->out, x, bottom, x, bottom + 5, FAINT);
    put_text(panel->out, x, bottom + 20, "middle", 12, FAINT, "%s", text);
}

/* Latency along y: ticks at 1, 2 and 5 of each power of ten, or only at 1 of many. */
static void put_latency_axis(const struct panel *panel)
{
    bool sparse = panel->y_max / panel->y_min > 5000;
    char text[24];
    double tick = panel->y_min;
    while (tick <= panel->y_max * 1.001) {
        double digit = tick / pow(10, floor(log10(tick) + 1e-9));
        if (!sparse || digit < 1.5)
            put_y_tick(panel, tick, format_us(tick, text));
        tick = round_up(tick * 1.001);
    }
}

static void put_time_axis(const struct panel *panel)
{
    double step = round_up((panel->x_max - panel->x_min) / 10);
    char text[24];
    for (uint32_t i = 0; i * step <= panel->x_max * 1.0001; i++) {
        snprintf(text, sizeof text, "%.4g s", i * step);
        put_x_tick(panel, i * step, text);
    }
}

/* The bounds of a latency axis that has room for both values, in microseconds. */
static void set_latency_bounds(struct panel *panel, double least_us, double most_us)
{
    panel->is_log = true;
    panel->y_min = round_down(least_us > 0.1 ? least_us : 0.1);
    panel->y_max = round_up(most_us > panel->y_min * 1.01 ? most_us : panel->y_min * 2);
}

static double percentile_us(const struct histogram *histogram, double share)
{
    return (double)histogram_percentile(histogram, share) / 1000;
}

static const struct {
    double share;
    const char *text;
    bool marked; /* with its value */
} nines[] = {
    {0, "0 %", false},
    {0.5, "50 %", true},
    {0.9, "90 %", false},
    {0.99, "99 %", true},
    {0.999, "99.9 %", true},
    {0.9999, "99.99 %", true},
    {0.99999, "99.999 %", false},
    {0.999999, "99.9999 %", false},
};

static void draw_percentiles(FILE *out, const struct histogram *latency)
{
    struct panel panel = {.out = out, .top = 150, .height = 280};
    double x_end = log10((double)latency->count + 1);
    panel.x_max = x_end < 2 ? 2 : x_end > 6.2 ? 6.2 : x_end;
    set_latency_bounds(&panel, percentile_us(latency, 0), (double)latency->maximum / 1000);
    put_heading(&panel, "Latency by percentile", "share of requests answered within this time");
    put_latency_axis(&panel);
    for (uint32_t i = 0; i < sizeof nines / sizeof nines[0]; i++) {
        double x = -log10(1 - nines[i].share);
        if (x <= panel.x_max)
            put_x_tick(&panel, x, nines[i].text);
    }
    fprintf(out, "<polyline fill=\"none\" stroke=\"" BLUE "\" stroke-width=\"2.5\" points=\"");
    for (uint32_t i = 0; i <= CURVE_POINTS; i++) {
        double x = panel.x_max * i / CURVE_POINTS;
        fprintf(out, "%.1f,%.1f ", place_x(&panel, x),
                place_y(&panel, percentile_us(latency, 1 - pow(10, -x))));
    }
    fprintf(out, "\"/>\n");
    for (uint32_t i = 0; i < sizeof nines / sizeof nines[0]; i++) {
        char text[24];
        double x = -log10(1 - nines[i].share), us = percentile_us(latency, nines[i].share);
        if (!nines[i].marked || x > panel.x_max)
            continue;
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"" BLUE "\"/>\n",
                place_x(&panel, x), place_y(&panel, us));
        put_text(out, place_x(&panel, x) + 8, place_y(&panel, us) + 18, "start", 12, BLUE, "%s",
                 format_us(us, text));
    }
    char text[24];
    put_text(out, WIDTH - RIGHT, panel.top - 16, "end", 12, FAINT, "longest %s",
             format_us((double)latency->maximum / 1000, text));
}

/* Seconds from the beginning to the middle of a stretch. */
static double slot_middle(const struct clients *clients, uint32_t slot)
{
    return (slot + 0.5) * (double)clients->slot_ns / 1e9;
}

/* How long a stretch is: the last one may be cut short by the end. */
static double slot_seconds(const struct clients *clients, uint32_t slot)
{
    double left = clients->seconds - slot * (double)clients->slot_ns / 1e9;
    double whole = (double)clients->slot_ns / 1e9;
    return left > 0 && left < whole ? left : whole;
}

static void draw_throughput(FILE *out, const struct clients *clients)
{
    struct panel panel = {.out = out, .top = 520, .height = 160, .x_max = clients->seconds};
    double most = 1, mean = (double)clients->requests / clients->seconds;
    char text[24];
    for (uint32_t i = 0; i < clients->slot_used; i++)
        most = fmax(most, (double)clients->slots[i].count / slot_seconds(clients, i));
    double step = round_up(most / 5);
    panel.y_max = step * ceil(most / step);
    put_heading(&panel, "Requests per second over time", "since the measurement began");
    for (uint32_t i = 0; i * step <= panel.y_max * 1.001; i++)
        put_y_tick(&panel, i * step, format_rate(i * step, text));
    put_time_axis(&panel);
    fprintf(out, "<polygon fill=\"" GREEN "\" fill-opacity=\"0.15\" points=\"");
    for (uint32_t i = 0; i < clients->slot_used; i++)
        fprintf(out, "%.1f,%.1f ", place_x(&panel, slot_middle(clients, i)),
                place_y(&panel, (double)clients->slots[i].count / slot_seconds(clients, i)));
    if (clients->slot_used != 0)
        fprintf(out, "%.1f,%.1f %.1f,%.1f",
                place_x(&panel, slot_middle(clients, clients->slot_used - 1)), place_y(&panel, 0),
                place_x(&panel, slot_middle(clients, 0)), place_y(&panel, 0));
    fprintf(out, "\"/>\n<polyline fill=\"none\" stroke=\"" GREEN "\" stroke-width=\"2\" points=\"");
    for (uint32_t i = 0; i < clients->slot_used; i++)
        fprintf(out, "%.1f,%.1f ", place_x(&panel, slot_middle(clients, i)),
                place_y(&panel, (double)clients->slots[i].count / slot_seconds(clients, i)));
    double y = place_y(&panel, mean);
    fprintf(out,
            "\"/>\n<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"" INK
            "\" stroke-dasharray=\"5 4\"/>\n",
            LEFT, y, WIDTH - RIGHT, y);
    put_text(out, WIDTH - RIGHT, panel.top - 16, "end", 12, FAINT, "on average %s/s",
             format_rate(mean, text));
}

static void draw_latency_over_time(FILE *out, const struct clients *clients)
{
    static const struct {
        const char *text;
        double share;
        const char *color;
    } lines[] = {{"median", 0.5, BLUE}, {"99 %", 0.99, AMBER}, {"longest", 1, RED}};
    struct panel panel = {.out = out, .top = 770, .height = 160, .x_max = clients->seconds};
    double least = INFINITY, most = 1;
    for (uint32_t i = 0; i < clients->slot_used; i++) {
        if (clients->slots[i].count == 0)
            continue;
        least = fmin(least, percentile_us(&clients->slots[i], 0.5));
        most = fmax(most, (double)clients->slots[i].maximum / 1000);
    }
    set_latency_bounds(&panel, fmin(least, most), most);
    put_heading(&panel, "Latency over time", "since the measurement began");
    put_latency_axis(&panel);
    put_time_axis(&panel);
    for (uint32_t line = 0; line < sizeof lines / sizeof lines[0]; line++) {
        double x = WIDTH - RIGHT - 206 + 75 * line;
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x, panel.top - 20,
                lines[line].color);
        put_text(out, x + 9, panel.top - 16, "start", 12, FAINT, "%s", lines[line].text);
        fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
                lines[line].color);
        for (uint32_t i = 0; i < clients->slot_used; i++) {
            if (clients->slots[i].count != 0)
                fprintf(out, "%.1f,%.1f ", place_x(&panel, slot_middle(clients, i)),
                        place_y(&panel, percentile_us(&clients->slots[i], lines[line].share)));
        }
        fprintf(out, "\"/>\n");
    }
}

/* 1,234,567: digits in groups of three. */
static const char *format_grouped(uint64_t count, char text[32])
{
    char digits[24];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, count), end = 0;
    for (size_t i = 0; i < size; i++) {
        if (i != 0 && (size - i) % 3 == 0)
            text[end++] = ',';
        text[end++] = digits[i];
    }
    text[end] = '\0';
    return text;
}

static void draw(FILE *out, const struct figures *figures)
{
    const struct clients *clients = figures->clients;
    const struct machine *machine = &figures->machine;
    char conditions[CONDITIONS_SIZE], flush[64] = "", grouped[32];
    uint64_t count = clients->orders != 0 ? clients->orders : clients->requests;
    double per_second = clients->seconds > 0 ? (double)count / clients->seconds : 0;
    if (machine->flush_us >= 0)
        snprintf(flush, sizeof flush, ", flush %.0f µs", machine->flush_us);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_text(out, LEFT, 44, "start", 22, INK, "till: %s %s per second",
             format_grouped((uint64_t)per_second, grouped),
             clients->orders != 0 ? "orders" : "requests");
    put_text(out, LEFT, 70, "start", 13, INK, "%s", figures_conditions(figures, conditions));
    put_text(out, LEFT, 90, "start", 13, FAINT, "%s, %s, %u cores%s%s", machine->kernel,
             machine->processor, machine->cores, figures->pinned ? ", pinned" : "", flush);
    if (clients->latency.count != 0 && clients->seconds > 0) {
        draw_percentiles(out, &clients->latency);
        draw_throughput(out, clients);
        draw_latency_over_time(out, clients);
    }
    fprintf(out, "</svg>\n");
}

bool plot_write(const char *path, const struct figures *figures)
{
    char partial[PATH_SIZE];
    if ((size_t)snprintf(partial, sizeof partial, "%s.partial", path) >= sizeof partial) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *out = fopen(partial, "we");
    if (out == NULL)
        return false;
    draw(out, figures);
    bool written = fflush(out) == 0 && fsync(fileno(out)) == 0;
    written = fclose(out) == 0 && written;
    if (written && rename(partial, path) == 0)
        return true;
    int error = errno;
    unlink(partial);
    errno = error;
    return false;
}
