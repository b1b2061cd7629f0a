/*
 * The frame of a unit test program: a table of tests, run by CUnit, exit status 1 if one failed.
 *
 *	static void test_x(void) { CU_ASSERT(...); }
 *	TK_UNIT_MAIN("arena", { "x", test_x })
 */
#ifndef TK_TESTS_UNIT_H
#define TK_TESTS_UNIT_H

#include <CUnit/Basic.h>

struct tk_unit_test {
	const char *name;
	void (*run)(void);
};

static inline int
tk_unit_main(const char *suite_name, const struct tk_unit_test *tests, size_t count)
{
	CU_pSuite suite;
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite(suite_name, NULL, NULL);
	for (size_t i = 0; suite != NULL && i < count; i++)
		if (CU_add_test(suite, tests[i].name, tests[i].run) == NULL)
			suite = NULL;
	if (suite == NULL)
		return 1;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	(void)CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed == 0 ? 0 : 1;
}

#define TK_UNIT_MAIN(suite_name, ...)                                                              \
	int main(void)                                                                             \
	{                                                                                          \
		static const struct tk_unit_test tests[] = { __VA_ARGS__ };                        \
		return tk_unit_main(suite_name, tests, sizeof(tests) / sizeof(tests[0]));          \
	}

#endif
