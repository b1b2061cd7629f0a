# server
noinst_LIBRARIES += libtkserver.a
libtkserver_a_SOURCES =
