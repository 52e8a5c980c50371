/* What happened to one order, customer or SKU: the commands of a log that name it or have changed
 * it, and what each has changed, by deciding them again. */
#ifndef TILL_CLI_LOG_HISTORY_H
#define TILL_CLI_LOG_HISTORY_H

#include "cli/folder.h"
#include "cli/log_print.h"

/* Tells it of the folder at the path, and of the archive of its log that `folder` names, within the
 * bounds of `print`. False after a message. */
bool log_history(struct folder *folder, struct log_print *print, const char *path);

#endif
