/* Takes an image of an engine chunk by chunk while the engine keeps deciding, and loads it into
 * another engine: what a snapshot does, without any file. */
#ifndef TILL_TESTS_MODEL_IMAGER_H
#define TILL_TESTS_MODEL_IMAGER_H

#include "engine/engine.h"
#include "engine/image.h"

struct imager_chunk {
    struct keep_chunk place;
    uint8_t *bytes;
};

struct imager {
    struct keeper *keeper;
    uint64_t scalars[ENGINE_SCALAR_COUNT];
    struct engine_counts counts;
    struct imager_chunk *chunks;
    uint32_t chunk_count;
    uint64_t digest;
    uint64_t checksum; /* of the engine when the image began */
    uint64_t seq;
    bool is_running;
    bool is_done;
};

void imager_init(struct imager *imager, const struct engine *engine);
void imager_deinit(struct imager *imager);

/* Begins an image of this moment, between two batches. */
void imager_begin(struct imager *imager, struct engine *engine);

/* Takes up to count chunks; the image may be complete then. */
void imager_step(struct imager *imager, struct engine *engine, uint32_t count);

/* Loads a finished image into a fresh engine; false, with the reason, when it does not fit or is
 * not sound. */
bool imager_load(const struct imager *imager, struct engine *engine, char *error,
                 size_t error_size);

#endif
