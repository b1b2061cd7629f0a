/*
 * Notices to the service manager (systemd's, where built in); nothing happens without one.
 */
#ifndef TK_OS_NOTIFY_H
#define TK_OS_NOTIFY_H

#include "takhin/base.h"

/* The service is up (again, after a reload); status is a line for its overview. */
void tk_notify_ready(const char *status);
void tk_notify_reloading(void);
void tk_notify_stopping(void);

/* How often tk_notify_alive() is wanted, in ms; 0: never. */
int64_t tk_notify_watchdog_ms(void);
void tk_notify_alive(void);

#endif
