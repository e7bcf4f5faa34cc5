#!/bin/sh
# RELAY: the relay of the house, such as [smtp.example.org]:587; left out, mail goes straight to the recipients' servers.
# RELAY_USER, RELAY_PASSWORD: its account; then it is spoken to under TLS or not at all. MAIL_DOMAIN: what this host calls itself.
set -eu
postconf -e "myhostname=${MAIL_DOMAIN:-localhost.localdomain}" "relayhost=${RELAY:-}"
if [ -n "${RELAY_USER:-}" ]; then
    umask 077
    printf '%s %s:%s\n' "$RELAY" "$RELAY_USER" "$RELAY_PASSWORD" >/etc/postfix/sasl_passwd
    postconf -e smtp_sasl_auth_enable=yes smtp_sasl_password_maps=texthash:/etc/postfix/sasl_passwd smtp_tls_security_level=encrypt
fi
exec postfix start-fg
