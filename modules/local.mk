# modules: the pipeline's parts that are linked in.
noinst_LIBRARIES += libtkmodules.a
libtkmodules_a_SOURCES = \
	modules/modules.c \
	modules/decode/kafka.c \
	modules/handler/api_versions.c \
	modules/handler/delete_records.c \
	modules/handler/describe_configs.c \
	modules/handler/describe_log_dirs.c \
	modules/handler/fetch.c \
	modules/handler/fetch_session.c modules/handler/fetch_session.h \
	modules/handler/forward.c \
	modules/handler/handlers.c modules/handler/handlers.h \
	modules/handler/list_offsets.c \
	modules/handler/metadata.c \
	modules/handler/offset_for_leader_epoch.c \
	modules/handler/produce.c \
	modules/transmit/sendfile.c
