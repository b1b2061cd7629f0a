# tools
bin_PROGRAMS += takhinctl
takhinctl_SOURCES = src/tools/takhinctl.c src/tools/takhinctl.h src/tools/takhinctl_status.c
takhinctl_LDADD = libtkmaster.a $(TK_LIBS) $(TK_LDADD)
