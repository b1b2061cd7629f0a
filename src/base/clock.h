/*
 * Clocks: monotonic for timers and intervals, wall for record timestamps.
 */
#ifndef TK_BASE_CLOCK_H
#define TK_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC: never goes back, no relation to the date. */
int64_t tk_clock_mono_ms(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t tk_clock_mono_ns(void);

/* Milliseconds of CLOCK_BOOTTIME: the same, but goes on while the machine is suspended. */
int64_t tk_clock_boot_ms(void);

/* Milliseconds since 1970, as Kafka's timestamps; follows whoever sets the date. */
int64_t tk_clock_wall_ms(void);

#endif
