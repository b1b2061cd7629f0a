# log
noinst_LIBRARIES += libtklog.a
libtklog_a_SOURCES =
