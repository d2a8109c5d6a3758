/* An RTSP camera for the tests, where the server's library is there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_RTSP_H
#define TEST_RTSP_H

/* Serves a live H.264 picture on this machine until the process ends. Its URL, g_free; NULL: built without. */
char *rtsp_server_start (void);

#endif
