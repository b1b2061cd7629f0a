/*
 * The modules that are linked in.  The first of its kind decodes and transmits.
 */
#include "takhin/module.h"

extern const struct tk_module tk_module_kafka, tk_module_api_versions, tk_module_metadata,
    tk_module_produce, tk_module_fetch, tk_module_list_offsets, tk_module_describe_configs,
    tk_module_forward, tk_module_delete_records, tk_module_describe_log_dirs,
    tk_module_offset_for_leader_epoch, tk_module_sendfile;

const struct tk_module *const tk_modules[] = { &tk_module_kafka, &tk_module_api_versions,
	&tk_module_metadata, &tk_module_produce, &tk_module_fetch, &tk_module_list_offsets,
	&tk_module_describe_configs, &tk_module_forward, &tk_module_delete_records,
	&tk_module_describe_log_dirs, &tk_module_offset_for_leader_epoch, &tk_module_sendfile,
	NULL };
