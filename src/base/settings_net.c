/*
 * Networks and addresses of listeners.  Any process, any thread; allocates nothing.
 *
 * Everything is compared as IPv6: an IPv4 address is its mapped form ::ffff:a.b.c.d, so that a peer
 * that reached a listener on [::] by IPv4 is found in an IPv4 network, and never in an IPv6 network
 * of fewer than 96 bits that was meant for IPv6 (::/0 in a list is every IPv6 peer, not IPv4).
 */
#include "base/settings.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool
addr_is_mapped(const uint8_t addr[16])
{
	return memcmp(addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* The 16 bytes of addr, false if it is of neither family. */
static bool
addr_bytes(const struct sockaddr *addr, uint8_t ret_bytes[16])
{
	if (addr->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		memcpy(ret_bytes, mapped_prefix, sizeof(mapped_prefix));
		memcpy(ret_bytes + 12, &in.sin_addr, 4);
		return true;
	}
	if (addr->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, addr, sizeof(in6));
		memcpy(ret_bytes, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

static bool
prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool
bits_zero_after(const uint8_t addr[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if ((addr[i / 8] & (0x80 >> (i % 8))) != 0)
			return false;
	return true;
}

static int
prefix_parse(const char *text, unsigned max, unsigned *ret_bits)
{
	unsigned bits = 0;

	if (*text == '\0' || strlen(text) > 3)
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		bits = bits * 10 + (unsigned)(*text - '0');
	}
	if (bits > max)
		return -EINVAL;
	*ret_bits = bits;
	return 0;
}

int
tk_cidr_parse(const char *text, struct tk_cidr *ret_cidr)
{
	struct tk_cidr cidr = { .prefix_bits = 128 };
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t host_len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	unsigned added = 0, bits = 128;

	if (host_len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	if (inet_pton(AF_INET, host, cidr.addr + 12) == 1) {
		memcpy(cidr.addr, mapped_prefix, sizeof(mapped_prefix));
		added = 96;
	} else if (inet_pton(AF_INET6, host, cidr.addr) != 1) {
		return -EINVAL;
	}
	if (slash != NULL) {
		if (prefix_parse(slash + 1, 128 - added, &bits) < 0)
			return -EINVAL;
		bits += added;
	}
	if (!bits_zero_after(cidr.addr, bits))
		return -EINVAL;
	cidr.prefix_bits = (uint8_t)bits;
	*ret_cidr = cidr;
	return 0;
}

bool
tk_cidr_match(const struct tk_cidr *cidr, const struct sockaddr *addr)
{
	uint8_t bytes[16];

	if (!addr_bytes(addr, bytes))
		return false;
	if (cidr->prefix_bits < 96 && addr_is_mapped(bytes))
		return false;
	return prefix_equal(cidr->addr, bytes, cidr->prefix_bits);
}

bool
tk_addr_is_loopback(const struct sockaddr *addr)
{
	static const uint8_t loopback6[16] = { [15] = 1 };
	uint8_t bytes[16];

	if (!addr_bytes(addr, bytes))
		return false;
	if (addr_is_mapped(bytes))
		return bytes[12] == 127;
	return memcmp(bytes, loopback6, sizeof(bytes)) == 0;
}

static bool
cidrs_match(const struct tk_cidrs *cidrs, const struct sockaddr *addr)
{
	for (size_t i = 0; i < cidrs->count; i++)
		if (tk_cidr_match(&cidrs->items[i], addr))
			return true;
	return false;
}

bool
tk_listener_admits(const struct tk_listener_settings *listener, const struct sockaddr *peer)
{
	if (cidrs_match(&listener->deny, peer))
		return false;
	return listener->allow.count == 0 || cidrs_match(&listener->allow, peer);
}
