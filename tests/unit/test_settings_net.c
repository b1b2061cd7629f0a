/*
 * Networks, and the rules of listeners.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "test_settings.h"

static struct sockaddr_storage
addr_of(const char *text)
{
	struct sockaddr_storage addr = { .ss_family = AF_INET };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		memcpy(&addr, &in, sizeof(in));
	else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		memcpy(&addr, &in6, sizeof(in6));
	else
		abort();
	return addr;
}

static void
test_cidr_match(void)
{
	static const struct {
		const char *cidr, *addr;
		bool matches;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.1.2", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "10.0.0.0/8", "::ffff:11.1.2.3", false },
		{ "10.0.0.0/8", "::10.1.2.3", false },
		{ "192.168.7.0/25", "192.168.7.127", true },
		{ "192.168.7.0/25", "192.168.7.128", false },
		{ "192.168.7.9", "192.168.7.9", true },
		{ "192.168.7.9", "192.168.7.8", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::ffff:1.2.3.4", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "fe80::1", true },
		{ "::/0", "10.0.0.1", false },
		{ "::/0", "::ffff:10.0.0.1", false },
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe00::1", false },
		{ "fd00:7::/63", "fd00:7:0:1::1", true },
		{ "fd00:7::/63", "fd00:7:0:2::1", false },
		{ "::1", "::1", true },
		{ "::1/128", "::2", false },
		{ "::1", "127.0.0.1", false },
	};

	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		struct sockaddr_storage addr = addr_of(rows[i].addr);
		struct tk_cidr cidr;

		CU_ASSERT_EQUAL_FATAL(tk_cidr_parse(rows[i].cidr, &cidr), 0);
		CU_ASSERT_EQUAL(tk_cidr_match(&cidr, (struct sockaddr *)&addr), rows[i].matches);
	}
}

static void
test_cidr_bad(void)
{
	static const char *const bads[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33",
		"10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/:", "10.0.0.0/ 8", "10.0.0.0/8 ",
		"10.0.0.0/0008", "10.0.0.0/8/8", "10.0.0.1/8", "10.0.0/8", "10", "256.0.0.0",
		"::1/129", "fd00::1/8", "[::1]", "localhost", "fe80::1%lo", "10.0.0.0/8,11.0.0.0/8",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/8" };

	for (size_t i = 0; i < TK_COUNT_OF(bads); i++) {
		struct tk_cidr cidr = { .prefix_bits = 77 };

		CU_ASSERT_EQUAL(tk_cidr_parse(bads[i], &cidr), -EINVAL);
		CU_ASSERT_EQUAL(cidr.prefix_bits, 77);
	}
}

static void
test_other_families(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct tk_cidr cidr;

	CU_ASSERT_EQUAL(tk_cidr_parse("0.0.0.0/0", &cidr), 0);
	CU_ASSERT_FALSE(tk_cidr_match(&cidr, (struct sockaddr *)&un));
	CU_ASSERT_EQUAL(tk_cidr_parse("::/0", &cidr), 0);
	CU_ASSERT_FALSE(tk_cidr_match(&cidr, (struct sockaddr *)&un));
	CU_ASSERT_FALSE(tk_addr_is_loopback((struct sockaddr *)&un));
}

static void
test_loopback(void)
{
	static const struct {
		const char *addr;
		bool is_loopback;
	} rows[] = { { "127.0.0.1", true }, { "127.255.0.3", true }, { "::1", true },
		{ "::ffff:127.0.0.1", true }, { "128.0.0.1", false }, { "0.0.0.0", false },
		{ "::", false }, { "::2", false }, { "::ffff:10.0.0.1", false },
		{ "::127.0.0.1", false }, { "1::1", false } };

	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		struct sockaddr_storage addr = addr_of(rows[i].addr);

		CU_ASSERT_EQUAL(tk_addr_is_loopback((struct sockaddr *)&addr), rows[i].is_loopback);
	}
}

static bool
admits(const struct tk_settings *settings, const char *addr)
{
	struct sockaddr_storage peer = addr_of(addr);

	return tk_listener_admits(&settings->listeners.items[0], (struct sockaddr *)&peer);
}

static void
test_admits(void)
{
	struct loaded loaded;

	expect_loaded(&loaded, "listeners = ( { allow = [ \"10.0.0.0/8\", \"fd00::/8\" ];"
			       " deny = [ \"10.1.0.0/16\" ]; } );");
	CU_ASSERT_TRUE(admits(loaded.settings, "10.2.0.1"));
	CU_ASSERT_TRUE(admits(loaded.settings, "::ffff:10.2.0.1"));
	CU_ASSERT_TRUE(admits(loaded.settings, "fd01::1"));
	CU_ASSERT_FALSE(admits(loaded.settings, "10.1.0.1"));
	CU_ASSERT_FALSE(admits(loaded.settings, "::ffff:10.1.0.1"));
	CU_ASSERT_FALSE(admits(loaded.settings, "127.0.0.1"));
	CU_ASSERT_FALSE(admits(loaded.settings, "::1"));
	unload(&loaded);
	expect_loaded(&loaded, "listeners = ( { deny = [ \"10.0.0.0/8\" ]; } );");
	CU_ASSERT_TRUE(admits(loaded.settings, "11.0.0.1"));
	CU_ASSERT_FALSE(admits(loaded.settings, "10.0.0.1"));
	unload(&loaded);
}

static void
test_default_listener(void)
{
	const struct tk_listener_settings *listener;
	struct sockaddr_storage addr = addr_of("127.0.0.1");
	struct sockaddr_in in;
	struct loaded loaded;

	expect_loaded(&loaded, "");
	CU_ASSERT_EQUAL_FATAL(loaded.settings->listeners.count, 1);
	listener = &loaded.settings->listeners.items[0];
	CU_ASSERT_STRING_EQUAL(listener->name, "PLAINTEXT");
	CU_ASSERT_STRING_EQUAL(listener->advertised_host, "127.0.0.1");
	CU_ASSERT_EQUAL(listener->advertised_port, 9092);
	CU_ASSERT_EQUAL(listener->max_connections, INT32_MAX);
	CU_ASSERT_EQUAL(listener->addr_len, sizeof(in));
	memcpy(&in, &listener->addr, sizeof(in));
	CU_ASSERT_EQUAL(in.sin_port, htons(9092));
	CU_ASSERT_TRUE(tk_listener_admits(listener, (struct sockaddr *)&addr));
	unload(&loaded);
}

static void
test_listener_values(void)
{
	const struct tk_listener_settings *items;
	struct sockaddr_in6 in6;
	struct loaded loaded;

	expect_loaded(&loaded,
	    "listeners = (\n { name = \"A\"; bind = \"[::1]\"; port = 19092; backlog = 7; },\n"
	    " { name = \"B\"; bind = \"127.0.0.2\"; advertised_host = \"b.example.net\";"
	    " advertised_port = 80; max_connections = 3; max_connections_per_ip = 2; } );");
	CU_ASSERT_EQUAL_FATAL(loaded.settings->listeners.count, 2);
	items = loaded.settings->listeners.items;
	CU_ASSERT_STRING_EQUAL(items[0].bind, "::1");
	CU_ASSERT_STRING_EQUAL(items[0].advertised_host, "::1");
	CU_ASSERT_EQUAL(items[0].advertised_port, 19092);
	CU_ASSERT_EQUAL(items[0].backlog, 7);
	CU_ASSERT_EQUAL(items[0].line, 2);
	CU_ASSERT_EQUAL_FATAL(items[0].addr_len, sizeof(in6));
	memcpy(&in6, &items[0].addr, sizeof(in6));
	CU_ASSERT_EQUAL(in6.sin6_port, htons(19092));
	CU_ASSERT_STRING_EQUAL(items[1].advertised_host, "b.example.net");
	CU_ASSERT_EQUAL(items[1].advertised_port, 80);
	CU_ASSERT_EQUAL(items[1].max_connections, 3);
	CU_ASSERT_EQUAL(items[1].max_connections_per_ip, 2);
	CU_ASSERT_EQUAL(items[1].line, 3);
	unload(&loaded);
}

#define OPEN(line, name, addr)                                                                     \
	"DIR/takhin.conf:" line ": listener \"" name "\" on \"" addr                               \
	"\" would let anybody who reaches this machine read and write every topic: bind it to "    \
	"127.0.0.1, or set allow_anonymous = true if this is meant\n"

static void
test_open_refused(void)
{
	struct loaded loaded;

	expect_errors(
	    "listeners = ( { bind = \"10.0.0.1\"; } );", OPEN("1", "PLAINTEXT", "10.0.0.1"));
	expect_errors("allow_anonymous = false;\nlisteners = ( { bind = \"fd00::1\"; } );",
	    OPEN("2", "PLAINTEXT", "fd00::1"));
	expect_errors("listeners = ( { bind = \"::ffff:10.0.0.1\"; } );",
	    OPEN("1", "PLAINTEXT", "::ffff:10.0.0.1"));
	expect_errors("listeners = ( { bind = \"0.0.0.0\"; advertised_host = \"h\"; },\n"
		      "{ name = \"B\"; port = 1; },\n"
		      "{ name = \"C\"; port = 2; bind = \"[::]\"; advertised_host = \"h\";"
		      " allow = [ \"127.0.0.1\" ]; } );",
	    OPEN("1", "PLAINTEXT", "0.0.0.0") OPEN("3", "C", "::"));
	expect_loaded(&loaded, "allow_anonymous = true; listeners = ( { bind = \"10.0.0.1\"; } );");
	unload(&loaded);
	expect_loaded(&loaded, "listeners = ( { bind = \"127.9.9.9\"; },"
			       " { name = \"B\"; bind = \"[::1]\"; } );");
	unload(&loaded);
}

static void
test_wildcard_warns(void)
{
	static const char *const binds[] = { "0.0.0.0", "[::]", "::ffff:0.0.0.0" };
	char conf[256], host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	for (size_t i = 0; i < TK_COUNT_OF(binds); i++) {
		struct loaded loaded;

		(void)snprintf(conf, sizeof(conf),
		    "allow_anonymous = true;\nlisteners = ( { bind = \"%s\"; } );", binds[i]);
		load(&loaded, conf, NULL);
		CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
		CU_ASSERT_EQUAL(loaded.errors.warning_count, 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(errors_text(&loaded),
		    "warning: DIR/takhin.conf:2: listener \"PLAINTEXT\" is on every address and "
		    "has no \"advertised_host\": clients will be told to connect to "));
		CU_ASSERT_STRING_EQUAL(loaded.settings->listeners.items[0].advertised_host, host);
		unload(&loaded);
	}
}

#define BIND(text)                                                                                 \
	"DIR/takhin.conf:1: \"bind\" must be an IPv4 address or an IPv6 address in brackets, not " \
	"\"" text "\"\n"
#define NAME(text)                                                                                 \
	"DIR/takhin.conf:1: \"name\" must have 1 to 64 letters, digits, \".\", \"_\" and \"-\", "  \
	"unlike \"" text "\"\n"
#define CIDR(text)                                                                                 \
	"DIR/takhin.conf:1: \"" text "\" in \"deny\" is not a network as \"10.0.0.0/8\" or "       \
	"\"fd00::/8\", with no bits set past the prefix\n"

#define TEXT_16 "abcdefghi.KLM_0-"
#define TEXT_64 TEXT_16 TEXT_16 TEXT_16 TEXT_16

static void
test_listener_bad(void)
{
	struct loaded loaded;

	expect_errors(
	    "listeners = ( );", "DIR/takhin.conf:1: \"listeners\" must hold at least one group\n");
	expect_errors("listeners = ( { bind = \"localhost\"; } );", BIND("localhost"));
	expect_errors("listeners = ( { bind = \"\"; } );", BIND(""));
	expect_errors("listeners = ( { bind = \"[]\"; } );", BIND("[]"));
	expect_errors("listeners = ( { bind = \"[::1\"; } );", BIND("[::1"));
	expect_errors("listeners = ( { bind = \"1.2.3.4.5\"; } );", BIND("1.2.3.4.5"));
	expect_errors("listeners = ( { bind = \"127.0.0.1:9092\"; } );", BIND("127.0.0.1:9092"));
	expect_errors("listeners = ( { name = \"\"; } );", NAME(""));
	expect_errors("listeners = ( { name = \"A B\"; } );", NAME("A B"));
	expect_errors("listeners = ( { name = \"" TEXT_64 "x\"; } );", NAME(TEXT_64 "x"));
	expect_loaded(&loaded, "listeners = ( { name = \"" TEXT_64 "\"; } );");
	unload(&loaded);
	expect_errors("listeners = ( { advertised_host = \"a b\"; } );",
	    "DIR/takhin.conf:1: \"advertised_host\" must be a name or an address, not \"a b\"\n");
	expect_errors("listeners = ( { advertised_host = \"\"; } );",
	    "DIR/takhin.conf:1: \"advertised_host\" must be a name or an address, not \"\"\n");
	expect_errors("listeners = ( { deny = [ \"10.0.0.1/8\" ]; } );", CIDR("10.0.0.1/8"));
	expect_errors("listeners = ( { deny = [ \"::1\", \"x\" ]; } );", CIDR("x"));
}

static void
test_listener_twice(void)
{
	expect_errors("listeners = ( { },\n{ port = 1; } );",
	    "DIR/takhin.conf:2: two listeners are named \"PLAINTEXT\"\n");
	expect_errors("listeners = ( { bind = \"::1\"; },\n{ name = \"B\"; bind = \"[::1]\"; } );",
	    "DIR/takhin.conf:2: listeners \"PLAINTEXT\" and \"B\" have the same address and "
	    "port\n");
}

TK_UNIT_MAIN("listeners", { "cidr match", test_cidr_match }, { "cidr bad", test_cidr_bad },
    { "other families", test_other_families }, { "loopback", test_loopback },
    { "admits", test_admits }, { "default listener", test_default_listener },
    { "listener values", test_listener_values }, { "open refused", test_open_refused },
    { "wildcard warns", test_wildcard_warns }, { "listener bad", test_listener_bad },
    { "listener twice", test_listener_twice })
