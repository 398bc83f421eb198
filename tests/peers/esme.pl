#!/usr/bin/perl
# An ESME written on Net::SMPP, somebody else's SMPP: binds as transceiver, submits one short text and one of two parts,
# answers every deliver_sm until DELIVERIES of them came, tries the link, unbinds. One line a PDU on standard output.
#
# usage: esme.pl HOST PORT SYSTEM_ID PASSWORD SHORT_CODE MSISDN TEXT PART_1 PART_2 DELIVERIES
use strict;
use warnings;
use Net::SMPP;

my ($host, $port, $system_id, $password, $short_code, $msisdn, $text, $part_1, $part_2, $deliveries) = @ARGV;
$| = 1;
alarm 30;    # Whoever runs this waits no longer either.

my ($smpp, $bound) = Net::SMPP->new_transceiver($host,
    port => $port, smpp_version => 0x34, system_id => $system_id, password => $password, system_type => 'perl');
die "no connection: $!" unless $smpp;
report($bound);
exit 1 if $bound->{status};

my %address = (
    source_addr_ton => 3, source_addr_npi => 0, source_addr => $short_code,
    dest_addr_ton => 1, dest_addr_npi => 1, destination_addr => $msisdn,
    registered_delivery => 1, async => 1,
);
$smpp->submit_sm(%address, short_message => $text);
my $number = 0;
for my $part ($part_1, $part_2) {
    my $header = pack 'C6', 5, 0, 3, 0x5A, 2, ++$number;
    $smpp->submit_sm(%address, esm_class => 0x40, short_message => $header . $part);
}

my $responses = 3;
while ($responses > 0 || $deliveries > 0) {
    my $pdu = $smpp->read_pdu() or die 'the SMSC went away';
    report($pdu);
    if ($pdu->{cmd} == 0x80000004) {
        $responses--;
    } elsif ($pdu->{cmd} == 5) {
        $smpp->deliver_sm_resp(seq => $pdu->{seq}, message_id => '');
        $deliveries--;
    } elsif ($pdu->{cmd} == 0x15) {
        $smpp->enquire_link_resp(seq => $pdu->{seq});
    }
}
report($smpp->enquire_link());
report($smpp->unbind());

sub report {
    my ($pdu) = @_;
    printf "%08x status=%d esm=%d id=%s text=%s\n", $pdu->{cmd}, $pdu->{status}, $pdu->{esm_class} // 0,
        $pdu->{message_id} // '', $pdu->{short_message} // '';
}
