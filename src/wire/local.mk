# wire: messages from schemas.  What generate.py makes goes into the build tree and, through "dist",
# into the tarball, where it is newer than what it is made of: no rule fires there, and a tarball
# builds without Python.  A new API is a schema file and its name here.
WIRE_SCHEMAS = \
	src/wire/schema/alter_configs.schema \
	src/wire/schema/api_versions.schema \
	src/wire/schema/create_partitions.schema \
	src/wire/schema/create_topics.schema \
	src/wire/schema/delete_records.schema \
	src/wire/schema/delete_topics.schema \
	src/wire/schema/describe_cluster.schema \
	src/wire/schema/describe_configs.schema \
	src/wire/schema/describe_log_dirs.schema \
	src/wire/schema/describe_topic_partitions.schema \
	src/wire/schema/fetch.schema \
	src/wire/schema/headers.schema \
	src/wire/schema/incremental_alter_configs.schema \
	src/wire/schema/init_producer_id.schema \
	src/wire/schema/list_offsets.schema \
	src/wire/schema/metadata.schema \
	src/wire/schema/metadata_store.schema \
	src/wire/schema/offset_for_leader_epoch.schema \
	src/wire/schema/produce.schema
WIRE_GENERATOR = src/wire/generate.py

noinst_LIBRARIES += libtkwire.a
libtkwire_a_SOURCES = \
	src/wire/api.c src/wire/api.h \
	src/wire/codec.c src/wire/codec.h \
	src/wire/error_codes.c src/wire/error_codes.h \
	src/wire/wire_gen.c src/wire/wire_gen.h

# BUILT_SOURCES is for "make all" and "make check"; this is for "make libtkwire.a".
$(libtkwire_a_OBJECTS): src/wire/wire_gen.h

BUILT_SOURCES += src/wire/wire_gen.h
MAINTAINERCLEANFILES += src/wire/wire_gen.h src/wire/wire_gen.c src/wire/wire_gen_fill.c
EXTRA_DIST += $(WIRE_SCHEMAS) $(WIRE_GENERATOR) src/wire/README.md

if HAVE_PYTHON3
WIRE_GENERATE = $(AM_V_GEN)$(MKDIR_P) $(@D) && cd $(srcdir) && \
	$(PYTHON3) $(WIRE_GENERATOR)
WIRE_INTO = $(WIRE_SCHEMAS) >$(abs_builddir)/$@.new && \
	mv -f $(abs_builddir)/$@.new $(abs_builddir)/$@
src/wire/wire_gen.h: $(WIRE_SCHEMAS) $(WIRE_GENERATOR)
	$(WIRE_GENERATE) header $(WIRE_INTO)
src/wire/wire_gen.c: $(WIRE_SCHEMAS) $(WIRE_GENERATOR)
	$(WIRE_GENERATE) source $(WIRE_INTO)
src/wire/wire_gen_fill.c: $(WIRE_SCHEMAS) $(WIRE_GENERATOR)
	$(WIRE_GENERATE) fill $(WIRE_INTO)
endif
