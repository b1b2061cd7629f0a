# meta: the metadata's journal, read into a view; transactions for it.
noinst_LIBRARIES += libtkmeta.a
libtkmeta_a_SOURCES = \
	src/meta/meta.c src/meta/meta.h src/meta/meta_private.h \
	src/meta/meta_apply.c \
	src/meta/meta_journal.c \
	src/meta/order.c src/meta/order.h \
	src/meta/topic_name.c src/meta/topic_name.h \
	src/meta/txn.c src/meta/txn.h
$(libtkmeta_a_OBJECTS): src/wire/wire_gen.h
EXTRA_DIST += src/meta/README.md
