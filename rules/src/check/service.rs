//! Service names: what `protocol = "https"` stands for.

/// Protocols and destination ports under one name.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Protocol numbers, sorted.
    pub(crate) protocols: &'static [u8],
    /// First and last port of each range.
    pub(crate) ports: &'static [(u16, u16)],
}

/// The service of that name.
pub(crate) fn find(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

const fn service(name: &'static str, protocols: &'static [u8], ports: &'static [(u16, u16)]) -> Service {
    Service {
        name,
        protocols,
        ports,
    }
}

const TCP: &[u8] = &[6];
const UDP: &[u8] = &[17];
const BOTH: &[u8] = &[6, 17];

/// Sorted by name. IANA's ports, and the usual ones where IANA has none.
pub(crate) static SERVICES: &[Service] = &[
    service("amqp", TCP, &[(5672, 5672)]),
    service("amqps", TCP, &[(5671, 5671)]),
    service("bfd", UDP, &[(3784, 3784)]),
    service("bgp", TCP, &[(179, 179)]),
    service("dns", BOTH, &[(53, 53)]),
    service("dns-over-tls", TCP, &[(853, 853)]),
    service("elasticsearch", TCP, &[(9200, 9200)]),
    service("etcd", TCP, &[(2379, 2380)]),
    service("ftp", TCP, &[(21, 21)]),
    service("git", TCP, &[(9418, 9418)]),
    service("http", TCP, &[(80, 80)]),
    service("https", TCP, &[(443, 443)]),
    service("ike", UDP, &[(500, 500), (4500, 4500)]),
    service("imap", TCP, &[(143, 143)]),
    service("imaps", TCP, &[(993, 993)]),
    service("kafka", TCP, &[(9092, 9092)]),
    service("kerberos", BOTH, &[(88, 88)]),
    service("kubernetes-api", TCP, &[(6443, 6443)]),
    service("ldap", TCP, &[(389, 389)]),
    service("ldaps", TCP, &[(636, 636)]),
    service("mdns", UDP, &[(5353, 5353)]),
    service("memcached", TCP, &[(11211, 11211)]),
    service("mongodb", TCP, &[(27017, 27017)]),
    service("mqtt", TCP, &[(1883, 1883)]),
    service("mqtts", TCP, &[(8883, 8883)]),
    service("mysql", TCP, &[(3306, 3306)]),
    service("nfs", TCP, &[(2049, 2049)]),
    service("node-exporter", TCP, &[(9100, 9100)]),
    service("ntp", UDP, &[(123, 123)]),
    service("openvpn", UDP, &[(1194, 1194)]),
    service("pop3", TCP, &[(110, 110)]),
    service("pop3s", TCP, &[(995, 995)]),
    service("postgres", TCP, &[(5432, 5432)]),
    service("prometheus", TCP, &[(9090, 9090)]),
    service("quic", UDP, &[(443, 443)]),
    service("radius", UDP, &[(1812, 1813)]),
    service("rdp", TCP, &[(3389, 3389)]),
    service("redis", TCP, &[(6379, 6379)]),
    service("rsync", TCP, &[(873, 873)]),
    service("sip", BOTH, &[(5060, 5060)]),
    service("sips", TCP, &[(5061, 5061)]),
    service("smb", TCP, &[(445, 445)]),
    service("smtp", TCP, &[(25, 25)]),
    service("smtps", TCP, &[(465, 465)]),
    service("snmp", UDP, &[(161, 161)]),
    service("snmp-trap", UDP, &[(162, 162)]),
    service("ssh", TCP, &[(22, 22)]),
    service("stun", BOTH, &[(3478, 3478)]),
    service("submission", TCP, &[(587, 587)]),
    service("syslog", UDP, &[(514, 514)]),
    service("syslog-tls", TCP, &[(6514, 6514)]),
    service("telnet", TCP, &[(23, 23)]),
    service("tftp", UDP, &[(69, 69)]),
    service("vnc", TCP, &[(5900, 5900)]),
    service("wireguard", UDP, &[(51820, 51820)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_sorted_and_have_ports_in_order() {
        for pair in SERVICES.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        for service in SERVICES {
            assert!(
                service.protocols.is_sorted() && !service.ports.is_empty(),
                "{}",
                service.name
            );
            assert!(
                service.ports.iter().all(|(first, last)| first <= last),
                "{}",
                service.name
            );
        }
    }
}
