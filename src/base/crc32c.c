/*
 * CRC-32C by ISA-L where configure found it, else by table, eight bytes a step.  Any process, any
 * thread.
 */
#include "base/crc32c.h"

#include "takhin/base.h"

#ifdef HAVE_ISAL

#include <isa-l/crc.h>

#define RUN_BYTES ((size_t)1 << 30) /* ISA-L counts in int */

uint32_t
tk_crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		size_t run = TK_MIN(len, RUN_BYTES);

		/* ISA-L neither inverts nor changes its input, though it takes it unqualified. */
		crc = ~crc32_iscsi((unsigned char *)(uintptr_t)at, (int)run, ~crc);
		at += run;
		len -= run;
	}
	return crc;
}

#else

#include <endian.h>
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void
table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ ((c & 1) != 0 ? POLYNOMIAL : 0);
		table[0][i] = c;
	}
	for (int k = 1; k < 8; k++)
		for (int i = 0; i < 256; i++)
			table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];
}

uint32_t
tk_crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *at = data;

	(void)pthread_once(&table_once, table_fill);
	crc = ~crc;
	for (; len >= 8; len -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		word = le64toh(word) ^ crc;
		crc = table[7][word & 0xff] ^ table[6][(word >> 8) & 0xff] ^
		      table[5][(word >> 16) & 0xff] ^ table[4][(word >> 24) & 0xff] ^
		      table[3][(word >> 32) & 0xff] ^ table[2][(word >> 40) & 0xff] ^
		      table[1][(word >> 48) & 0xff] ^ table[0][word >> 56];
	}
	for (; len > 0; len--, at++)
		crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xff];
	return ~crc;
}

#endif
