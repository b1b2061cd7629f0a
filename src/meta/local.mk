# meta
noinst_LIBRARIES += libtkmeta.a
libtkmeta_a_SOURCES =
