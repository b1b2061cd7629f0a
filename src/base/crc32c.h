/*
 * CRC-32C (Castagnoli), the checksum of record batches and snapshots.
 */
#ifndef TK_BASE_CRC32C_H
#define TK_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Continues a checksum over len bytes; start with crc 0.  tk_crc32c(tk_crc32c(0, a), b) is the
 * checksum of a followed by b.
 */
uint32_t tk_crc32c(uint32_t crc, const void *data, size_t len);

#endif
