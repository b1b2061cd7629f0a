/*
 * The names of Kafka's error codes.  Any process; nothing can fail.
 */
#include "wire/error_codes.h"

const char *
tk_error_name(int code)
{
	switch (code) {
#define ERROR_NAME(name, value)                                                                    \
	case value:                                                                                \
		return #name;
		TK_ERROR_CODES(ERROR_NAME)
#undef ERROR_NAME
	default:
		return "UNKNOWN";
	}
}
