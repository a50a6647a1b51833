#!/bin/sh
# Build the conversation that the simulator sends: agent.flac and customer.flac, 60 s each, mono, 8 kHz, 16 bit.
#
# Two espeak-ng voices take turns; while one speaks the other file holds only faint noise. The noise runs through the
# whole file, so that every 20 ms frame is different from every other, also after mu-law or A-law encoding: a frame
# that is lost, repeated or moved in a recording can then always be told.
#
# Needs espeak-ng and sox (with FLAC). Repeatable: sox dithers nowhere (-D) and seeds its noise the same way in each run (-R).
# Run it in this directory; the tests in tests/unit/recorder/simulator/test_conversation.py check what it made.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

agent_voice="-v en-gb -p 38 -s 158 -a 70"
customer_voice="-v en-us+Annie -p 62 -s 166 -a 70"
seconds=60
pause=0.35

turn=0
: >"$work/agent.list"
: >"$work/customer.list"

say() { # speaker text
    turn=$((turn + 1))
    spoken=$(printf '%s/turn%02d.wav' "$work" "$turn")
    quiet=$(printf '%s/quiet%02d.wav' "$work" "$turn")
    case $1 in
    agent) voice=$agent_voice listener=customer ;;
    customer) voice=$customer_voice listener=agent ;;
    esac
    # shellcheck disable=SC2086  # the voice is a list of options
    espeak-ng $voice -w "$work/raw.wav" "$2"
    sox -D "$work/raw.wav" -r 8000 -c 1 -b 16 "$spoken" pad 0 $pause
    sox -D "$spoken" "$quiet" vol 0
    echo "$spoken" >>"$work/$1.list"
    echo "$quiet" >>"$work/$listener.list"
}

say agent "Good morning, Northern Harbour Insurance, my name is Oliver. How may I help you today?"
say customer "Hello Oliver. I would like to report some damage to my boat."
say agent "I am sorry to hear that. May I have your policy number, please?"
say customer "Of course. It is seven, four, one, nine, zero, zero, two, eight."
say agent "Thank you. Is this Miss Rivera?"
say customer "Yes, speaking. The mast broke near the top, and it fell on the roof of the cabin."
say agent "Was anybody hurt?"
say customer "No, luckily. We were all at home."
say agent "I am glad. Please take photographs of the mast and of the cabin before anything is moved."
say customer "I did that yesterday. Where should I send them?"
say agent "You will get a message with a link in a few minutes. A surveyor will call you before Friday."
say customer "That is quick. Thank you very much for your help."
say agent "You are welcome. Goodbye, Miss Rivera."

# One noise, two different minutes of it.
sox -R -D -n -r 8000 -c 1 -b 16 "$work/noise.wav" synth $((2 * seconds)) whitenoise vol 0.003
for speaker in agent customer; do
    case $speaker in agent) start=0 ;; customer) start=$seconds ;; esac
    # shellcheck disable=SC2046  # the list is made of our own file names
    sox -D $(cat "$work/$speaker.list") "$work/speech.wav" norm -9
    length=$(soxi -D "$work/speech.wav")
    echo "$speaker: conversation of $length s, cut or filled to $seconds s"
    sox -D "$work/noise.wav" "$work/floor.wav" trim "$start" $seconds
    sox -D -m -v 1 "$work/speech.wav" -v 1 "$work/floor.wav" "$work/mixed.wav"
    sox -D "$work/mixed.wav" -C 8 --add-comment "" "$here/$speaker.flac" trim 0 $seconds
done
